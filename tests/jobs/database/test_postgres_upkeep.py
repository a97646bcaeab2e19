"""The jobs of a server that has died are taken over, those of one that lives are not."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import psycopg
import pytest

from asr.jobs.database import postgres_upkeep
from asr.jobs.database.postgres import Connection
from asr.jobs.database.postgres_upkeep import DEAD_SECONDS, repair
from asr.jobs.job import JobKind, JobState, Outcome
from asr.jobs.postgres_store import PostgresStore, open_store
from tests.support.job_stores import job
from tests.support.processes import until

TRANSCRIPTION = JobKind.TRANSCRIPTION
COMPLETED = Outcome(JobState.COMPLETED, {})


class Clock:
    """Stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 0.0  # what is put back then is due


@pytest.fixture
def clock(monkeypatch):
    """Gives the clock of servers that beat only when they are told to."""
    clock = Clock()
    monkeypatch.setattr(postgres_upkeep, "time", clock)
    monkeypatch.setattr(postgres_upkeep, "BEAT_SECONDS", 10_000.0)
    return clock


@pytest.fixture
async def stores(postgres_with_tables, clock) -> AsyncIterator[list[PostgresStore]]:
    assert clock.now  # it is theirs, too
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(open_store(postgres_with_tables.url)) for _ in range(2)
        ]


async def beat(store: PostgresStore, clock: Clock, seconds: float = 0.0) -> None:
    """Let a server beat as it does, for so many seconds."""
    for _ in range(int(seconds // 2) + 1):
        await store._database.run(store._upkeep._step())
        clock.now += 2.0


def die(postgres, store: PostgresStore) -> None:
    """Let a server look as if it had been dead for an hour less a minute."""
    postgres.execute(
        "UPDATE asr.procrastinate_workers SET last_heartbeat = now() - interval '59 minutes' "
        f"WHERE id = {store._upkeep.worker}"
    )


async def test_a_dead_servers_job_is_taken_over_and_its_late_result_dropped(
    stores, postgres_with_tables, clock
):
    frozen, living = stores
    await frozen.add(job("a"))
    late = await frozen.take("one", TRANSCRIPTION, ())
    assert late is not None
    die(postgres_with_tables, frozen)
    await beat(living, clock, DEAD_SECONDS + 2)
    assert await frozen.beat("one") == set()
    again = await living.take("two", TRANSCRIPTION, ())
    assert again is not None
    assert (again.id, again.attempt) == ("a", 2)
    assert not await frozen.progress(late, 1.0, 1.0, [{}])
    assert not await frozen.finish(late, COMPLETED)
    assert await living.finish(again, COMPLETED)


async def test_a_living_servers_job_stays_its_own(stores, clock):
    busy, other = stores
    await busy.add(job("a"))
    await busy.take("one", TRANSCRIPTION, ())
    for _ in range(8):
        await beat(busy, clock)
        await beat(other, clock)
    assert await busy.beat("one") == {"a"}


async def test_after_an_outage_all_may_beat_before_anybody_is_dead(
    stores, postgres_with_tables, clock
):
    busy, first = stores
    await busy.add(job("a"))
    attempt = await busy.take("one", TRANSCRIPTION, ())
    await beat(first, clock, DEAD_SECONDS + 2)
    die(postgres_with_tables, busy)  # the database was away: nobody could beat
    clock.now += DEAD_SECONDS
    await beat(first, clock, DEAD_SECONDS - 4)
    await beat(busy, clock)
    await beat(first, clock, DEAD_SECONDS)
    assert attempt is not None
    assert await busy.beat("one") == {"a"}
    assert await busy.finish(attempt, COMPLETED)


async def test_a_server_whose_event_loop_is_busy_beats_all_the_same(
    postgres_with_tables, monkeypatch
):
    monkeypatch.setattr(postgres_upkeep, "BEAT_SECONDS", 0.05)

    def last_beat() -> object:
        with psycopg.connect(postgres_with_tables.url) as connection:
            query = "SELECT last_heartbeat FROM asr.procrastinate_workers"
            return connection.execute(query).fetchone()

    async with open_store(postgres_with_tables.url):
        first = last_beat()
        until(lambda: last_beat() != first)  # the loop stands still meanwhile


async def test_a_server_that_cannot_look_for_the_dead_beats_all_the_same(
    stores, clock, monkeypatch, caplog
):
    async def broken(_: Connection) -> None:
        raise KeyError("worker_id")

    monkeypatch.setattr(stores[0]._upkeep, "_take_over", broken)
    await beat(stores[0], clock, DEAD_SECONDS + 2)
    assert "a look for dead servers failed, and is tried again" in caplog.text
    await stores[0].add(job("a"))
    assert await stores[0].take("one", TRANSCRIPTION, ()) is not None


async def test_a_server_that_ends_leaves_its_jobs_to_others_at_once(
    postgres_with_tables, stores, clock
):
    async with open_store(postgres_with_tables.url) as ending:
        await ending.add(job("a"))
        await ending.take("one", TRANSCRIPTION, ())
    await beat(stores[0], clock, DEAD_SECONDS + 2)
    again = await stores[0].take("two", TRANSCRIPTION, ())
    assert again is not None
    assert again.attempt == 2


async def test_a_server_that_was_forgotten_is_known_again(stores, postgres_with_tables, clock):
    postgres_with_tables.execute("DELETE FROM asr.procrastinate_workers")
    await stores[0].add(job("a"))
    await beat(stores[0], clock)
    assert await stores[0].take("one", TRANSCRIPTION, ()) is not None


async def test_the_dead_are_forgotten_once_their_jobs_are_free(
    stores, postgres_with_tables, clock, monkeypatch
):
    monkeypatch.setattr(postgres_upkeep, "FORGET_SECONDS", 60.0)
    await stores[0].add(job("a"))
    await stores[0].take("one", TRANSCRIPTION, ())
    die(postgres_with_tables, stores[0])
    await beat(stores[1], clock, DEAD_SECONDS + 2)

    async def workers(connection: Connection) -> list[int]:
        cursor = await connection.execute("SELECT id FROM procrastinate_workers")
        return [row["id"] for row in await cursor.fetchall()]

    assert await stores[1]._database.call(workers) == [stores[1]._upkeep.worker]
    assert await stores[1].take("two", TRANSCRIPTION, ()) is not None


@pytest.mark.parametrize("is_running", [False, True])
@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM procrastinate_jobs",
        "UPDATE procrastinate_jobs SET status = 'failed'",
        "UPDATE procrastinate_jobs SET status = 'cancelled'",
        "UPDATE jobs SET entry = NULL",
    ],
)
async def test_a_job_whose_entry_was_damaged_is_queued_again(
    stores, postgres_with_tables, damage, is_running
):
    store = stores[0]
    await store.add(job("a"))
    if is_running:
        await store.take("one", TRANSCRIPTION, ())
    postgres_with_tables.execute("SET search_path = asr", damage)
    await store._database.call(repair)
    again = await store.take("two", TRANSCRIPTION, ())
    assert again is not None
    assert again.id == "a"
    assert await store.finish(again, COMPLETED)


async def test_whole_entries_are_left_alone(stores):
    store = stores[0]
    await store.add(job("a"))
    attempt = await store.take("one", TRANSCRIPTION, ())
    await store.add(job("b", due_at=4e9))
    await store._database.call(repair)
    assert await store.beat("one") == {"a"}
    assert attempt is not None
    assert await store.finish(attempt, COMPLETED)
    assert await store.take("one", TRANSCRIPTION, ()) is None
