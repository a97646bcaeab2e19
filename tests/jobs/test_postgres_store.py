"""Servers that share a store take nothing twice, wait for nobody, and lose no job on the way."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

import psycopg
import pytest

from asr.jobs.job import JobKind, JobState, Outcome
from asr.jobs.postgres_store import PostgresStore, open_store
from tests.support.job_stores import job

TRANSCRIPTION = JobKind.TRANSCRIPTION


@pytest.fixture
async def stores(postgres_with_tables) -> AsyncIterator[list[PostgresStore]]:
    """Gives the stores of three servers."""
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(open_store(postgres_with_tables.url)) for _ in range(3)
        ]


async def test_no_job_is_taken_by_two_servers(stores):
    for number in range(12):
        await stores[0].add(job(f"{number}"))

    async def work(store: PostgresStore, owner: str) -> list[str]:
        done = []
        while (taken := await store.take(owner, TRANSCRIPTION, ())) is not None:
            assert await store.finish(taken, Outcome(JobState.COMPLETED, {}))
            done.append(taken.id)
        return done

    done = await asyncio.gather(*(work(store, f"{n}") for n, store in enumerate(stores)))
    assert sorted(itertools.chain(*done)) == sorted(f"{number}" for number in range(12))


async def test_a_job_that_was_taken_for_nobody_is_put_back(stores):
    """The answer to `take` was lost on its way; its row says that we run the job."""
    store = stores[0]
    await store.add(job("a"))
    await store.take("one", TRANSCRIPTION, ())
    store._given.clear()
    await stores[1].beat("one")  # it is no business of others
    assert await stores[1].take("two", TRANSCRIPTION, ()) is None
    await store.beat("one")
    again = await stores[1].take("two", TRANSCRIPTION, ())
    assert again is not None
    assert again.attempt == 2


async def test_a_beat_beside_a_call_of_take_puts_nothing_back(stores):
    store = stores[0]
    for number in range(20):
        await store.add(job(f"{number}"))

    async def take() -> None:
        for _ in range(20):
            assert await store.take("one", TRANSCRIPTION, ()) is not None

    taking = asyncio.create_task(take())
    while not taking.done():
        await store.beat("one")
    await taking
    assert await store.beat("one") == {f"{number}" for number in range(20)}


async def test_take_waits_for_no_job_that_another_changes(stores, postgres_with_tables):
    await stores[0].add(job("a"))
    with psycopg.connect(postgres_with_tables.url) as other:
        other.execute("SELECT 1 FROM asr.jobs FOR UPDATE")
        assert await stores[0].take("one", TRANSCRIPTION, ()) is None
    assert await stores[0].take("one", TRANSCRIPTION, ()) is not None


async def test_cancels_and_takes_at_once_end_in_one_of_both(stores):
    for number in range(20):
        await stores[0].add(job(f"{number}"))
    taken, _ = await asyncio.gather(
        asyncio.gather(*(stores[n % 3].take(f"{n}", TRANSCRIPTION, ()) for n in range(20))),
        asyncio.gather(*(stores[n % 3].cancel(f"{n}") for n in range(20))),
    )
    for number in range(20):
        found = await stores[0].get(f"{number}")
        assert found is not None
        assert found.state is JobState.CANCELLED
    assert len({one.id for one in taken if one}) == len([one for one in taken if one])


async def test_ended_jobs_leave_nothing_in_the_queue(stores, postgres_with_tables):
    store = stores[0]
    for name in "abc":
        await store.add(job(name, deadline_at=1.0 if name == "c" else None))
    await store.finish(await store.take("one", TRANSCRIPTION, ()), Outcome(JobState.FAILED))
    await store.cancel("b")
    await store.expire(0.0, lambda expired: [job(f"{expired.id}~expired", due_at=4e9)])
    with psycopg.connect(postgres_with_tables.url) as connection:
        rows = connection.execute("SELECT status FROM asr.procrastinate_jobs").fetchall()
    assert rows == [("todo",)]  # the follower


async def test_a_late_job_does_not_hide_others(stores):
    await stores[0].add(job("late", deadline_at=1.0, priority=9))
    await stores[0].add(job("a"))
    taken = await stores[0].take("one", TRANSCRIPTION, ())
    assert taken is not None
    assert taken.id == "a"
