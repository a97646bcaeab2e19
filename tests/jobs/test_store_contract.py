"""What every store of jobs promises, proven of each."""

from __future__ import annotations

import asyncio
import dataclasses
import time

import pytest

from asr.jobs.job import Job, JobKind, JobState, Outcome
from asr.jobs.store import EXPIRE_JOBS, JobStore
from tests.support.job_stores import job, nobody

TRANSCRIPTION, DELIVERY = JobKind.TRANSCRIPTION, JobKind.DELIVERY
COMPLETED = Outcome(JobState.COMPLETED, result={"text": "words"})
LATER = time.time() + 3600


async def take(store: JobStore, owner: str = "one", *excluded: str) -> Job:
    found = await store.take(owner, TRANSCRIPTION, excluded)
    assert found is not None
    return found


async def taken(store: JobStore, job_id: str = "a", owner: str = "one") -> Job:
    """Add a job, take it, and return the attempt."""
    await store.add(job(job_id))
    return await take(store, owner)


async def state(store: JobStore, job_id: str) -> JobState | None:
    found = await store.get(job_id)
    return found and found.state


async def ids(store: JobStore, *states: JobState, client: str | None = None) -> list[str]:
    page = await store.page(TRANSCRIPTION, client, states, None, 100)
    return [job.id for job in page.jobs]


async def test_a_job_is_kept_with_all_its_fields(store):
    given = job(
        "a",
        DELIVERY,
        client="söme " * 50,
        priority=-3,
        due_at=2.5,
        deadline_at=LATER,
        audio_seconds=7.25,
        request={"null\x00": ["\ud800", None, 1e300, "日本"]},
    )
    kept = await store.add(given)
    assert kept == await store.get("a") == dataclasses.replace(given, seconds_ahead=0.0)


async def test_a_known_id_changes_nothing(store):
    await store.add(job("a", client="mine"))
    kept = await store.add(job("a", client="others", priority=9, request={}))
    assert (kept.client, kept.priority, kept.request) == ("mine", 0, job("a").request)
    assert await ids(store) == ["a"]


async def test_a_known_id_is_not_run_again_after_its_end(store):
    await store.finish(await taken(store), COMPLETED)
    assert (await store.add(job("a"))).state is JobState.COMPLETED
    assert await store.take("one", TRANSCRIPTION, ()) is None


async def test_many_who_add_one_id_at_once_have_one_job(store):
    kept = await asyncio.gather(*(store.add(job("a", priority=n)) for n in range(20)))
    assert len({found.priority for found in kept}) == 1
    assert await ids(store) == ["a"]


async def test_an_unknown_job_is_none(store):
    assert await store.get("a") is None
    assert await store.cancel("a") is None
    assert await store.events("a", 0, 0) == []


async def test_the_seconds_ahead_are_those_of_jobs_that_are_taken_before(store):
    for name, priority, seconds in [("a", 0, 10.0), ("b", 0, 20.0), ("c", 5, 40.0), ("d", 0, 1.0)]:
        await store.add(job(name, priority=priority, audio_seconds=seconds))
    await store.add(job("e", DELIVERY, audio_seconds=500.0))
    found = {name: await store.get(name) for name in "abcd"}
    assert {name: one and one.seconds_ahead for name, one in found.items()} == {
        "a": 40.0,
        "b": 50.0,
        "c": 0.0,
        "d": 70.0,
    }
    await take(store)
    running, first = await store.get("c"), await store.get("a")
    assert running is not None
    assert first is not None
    assert (running.seconds_ahead, first.seconds_ahead) == (None, 0.0)


async def test_pages_have_the_newest_first_and_every_job_once(store):
    for number in range(7):
        await store.add(job(f"{number}", created_at=5.0))
    await store.add(job("webhook", DELIVERY))
    found, after = [], None
    while True:
        page = await store.page(TRANSCRIPTION, None, (), after, 3)
        found += [one.id for one in page.jobs]
        if (after := page.after) is None:
            break
    assert found == ["6", "5", "4", "3", "2", "1", "0"]


async def test_a_page_that_is_just_full_is_the_last(store):
    await store.add(job("a"))
    assert (await store.page(TRANSCRIPTION, None, (), None, 1)).after is None


async def test_pages_have_the_jobs_of_a_client_and_of_states_alone(store):
    for name, client in [("a", "one"), ("b", "two"), ("c", "one"), ("d", "")]:
        await store.add(job(name, client=client))
    await store.cancel("a")
    assert await ids(store, client="one") == ["c", "a"]
    assert await ids(store, client="") == ["d"]
    assert await ids(store, JobState.QUEUED) == ["d", "c", "b"]
    assert await ids(store, JobState.CANCELLED, JobState.FAILED, client="one") == ["a"]
    assert await ids(store, JobState.FAILED) == []


async def test_pages_have_no_results(store):
    await store.finish(await taken(store), COMPLETED)
    assert (await store.page(TRANSCRIPTION, None, (), None, 1)).jobs[0].result is None


async def test_a_result_is_given_to_whom_asks_for_it(store):
    await store.finish(await taken(store), COMPLETED)
    plain, whole = await store.get("a"), await store.get("a", with_result=True)
    assert plain is not None
    assert whole is not None
    assert (plain.result, whole.result) == (None, {"text": "words"})


async def test_a_result_of_megabytes_comes_back(store):
    outcome = Outcome(JobState.COMPLETED, result={"text": "wörds " * 500_000})
    await store.finish(await taken(store), outcome)
    found = await store.get("a", with_result=True)
    assert found is not None
    assert found.result == outcome.result


async def test_a_taken_job_runs_with_owner_attempt_and_start(store):
    before = time.time()
    attempt = await taken(store)
    assert (attempt.state, attempt.owner, attempt.attempt) == (JobState.RUNNING, "one", 1)
    assert attempt.started_at is not None
    assert before - 1 <= attempt.started_at <= time.time() + 1
    assert await store.get("a") == attempt


async def test_higher_priorities_are_taken_first_then_the_oldest(store):
    for name, priority in [("a", 0), ("b", 5), ("c", -1), ("d", 5), ("e", 0)]:
        await store.add(job(name, priority=priority, created_at=9.0 - priority))
    assert [(await take(store)).id for _ in range(5)] == ["b", "d", "a", "e", "c"]
    assert await store.take("one", TRANSCRIPTION, ()) is None


async def test_only_what_is_due_is_taken(store):
    await store.add(job("a", due_at=LATER, priority=9))
    await store.add(job("b", due_at=time.time() - 1))
    assert (await take(store)).id == "b"
    assert await store.take("one", TRANSCRIPTION, ()) is None


async def test_a_job_is_taken_as_soon_as_it_is_due(store):
    await store.add(job("a", due_at=time.time() + 0.2))
    async with asyncio.timeout(60):
        found = None
        while not found:
            await asyncio.sleep(0.02)
            found = await store.take("one", TRANSCRIPTION, ())


async def test_a_job_whose_deadline_has_passed_is_not_taken(store):
    await store.add(job("a", deadline_at=time.time() - 1))
    assert await store.take("one", TRANSCRIPTION, ()) is None


async def test_jobs_of_excluded_clients_are_passed_over(store):
    for name, client in [("a", "one"), ("b", "two"), ("c", ""), ("d", "one")]:
        await store.add(job(name, client=client))
    assert (await take(store, "x", "one", "")).id == "b"
    assert await store.take("x", TRANSCRIPTION, ["one", ""]) is None
    assert [(await take(store)).id for _ in range(3)] == ["a", "c", "d"]


async def test_a_worker_takes_jobs_of_its_kind_alone(store):
    await store.add(job("a", DELIVERY))
    assert await store.take("one", TRANSCRIPTION, ()) is None
    found = await store.take("one", DELIVERY, ())
    assert found is not None
    assert found.id == "a"


async def test_no_job_is_taken_twice_by_many_at_once(store):
    for number in range(12):
        await store.add(job(f"{number}"))
    found = await asyncio.gather(*(store.take(f"{n}", TRANSCRIPTION, ()) for n in range(20)))
    assert sorted(one.id for one in found if one) == sorted(f"{n}" for n in range(12))


async def test_a_beat_names_what_an_owner_still_has_to_run(store):
    await taken(store, "a")
    await taken(store, "b")
    await taken(store, "c", owner="two")
    done = await taken(store, "d")
    await store.finish(done, COMPLETED)
    await store.cancel("b")
    assert await store.beat("one") == {"a"}
    assert await store.beat("two") == {"c"}
    assert await store.beat("three") == set()


async def test_progress_and_events_are_seen(store):
    attempt = await taken(store)
    assert await store.progress(attempt, 2.5, 10.0, [{"text": "a\x00"}, {"text": "b"}])
    assert await store.progress(attempt, 5.0, 10.0, [{"text": "c"}])
    found = await store.get("a")
    assert found is not None
    assert (found.done_seconds, found.audio_seconds) == (5.0, 10.0)
    events = await store.events("a", 1, 0)
    assert [(event.attempt, event.number, event.data["text"]) for event in events] == [
        (1, 1, "a\x00"),
        (1, 2, "b"),
        (1, 3, "c"),
    ]
    assert [event.number for event in await store.events("a", 1, 2)] == [3]
    assert await store.events("a", 1, 3) == []


async def test_a_job_that_is_taken_again_begins_anew(store):
    attempt = await taken(store)
    await store.progress(attempt, 5.0, 10.0, [{"text": "old"}, {"text": "old"}])
    await store.finish(attempt, Outcome(JobState.QUEUED))
    again = await take(store, "two")
    assert (again.attempt, again.done_seconds, again.owner) == (2, 0.0, "two")
    await store.progress(again, 1.0, 10.0, [{"text": "new"}])
    events = await store.events("a", 1, 2)  # a reader of the first attempt gets the second's all
    assert [(event.attempt, event.number) for event in events] == [(2, 1)]


async def test_a_finished_job_has_its_result_error_and_end(store):
    before = time.time()
    assert await store.finish(await taken(store, "a"), COMPLETED)
    failed = Outcome(JobState.FAILED, error={"code": "bad_audio"})
    assert await store.finish(await taken(store, "b"), failed)
    done, broken = await store.get("a"), await store.get("b")
    assert done is not None
    assert broken is not None
    assert (done.state, done.error) == (JobState.COMPLETED, None)
    assert (broken.state, broken.error) == (JobState.FAILED, {"code": "bad_audio"})
    assert done.ended_at is not None
    assert before - 1 <= done.ended_at <= time.time() + 1


async def test_the_second_end_of_an_attempt_is_dropped(store):
    attempt = await taken(store)
    assert await store.finish(attempt, COMPLETED)
    assert not await store.finish(attempt, Outcome(JobState.FAILED, followers=[job("b")]))
    assert await state(store, "a") is JobState.COMPLETED
    assert await state(store, "b") is None


@pytest.mark.parametrize("owner", ["one", "two"])
async def test_late_reports_of_a_lost_attempt_are_dropped(store, owner):
    first = await taken(store)
    await store.finish(first, Outcome(JobState.QUEUED))
    second = await take(store, owner)
    assert not await store.progress(first, 9.0, 9.0, [{"text": "late"}])
    late = Outcome(JobState.COMPLETED, result={"text": "late"}, followers=[job("follower")])
    assert not await store.finish(first, late)
    assert await store.get("a") == second
    assert await state(store, "follower") is None
    assert await store.events("a", 0, 0) == []
    assert await store.finish(second, COMPLETED)


async def test_followers_are_added_with_the_end(store):
    follower = job("a~completed", DELIVERY, client="mine")
    outcome = dataclasses.replace(COMPLETED, followers=[follower])
    assert await store.finish(await taken(store), outcome)
    found = await store.take("one", DELIVERY, ())
    assert found is not None
    assert (found.id, found.client) == ("a~completed", "mine")


async def test_a_follower_whose_id_is_known_changes_nothing(store):
    await store.add(job("b", DELIVERY, priority=3))
    outcome = dataclasses.replace(COMPLETED, followers=[job("b", DELIVERY), job("c", DELIVERY)])
    assert await store.finish(await taken(store), outcome)
    known = await store.get("b")
    assert known is not None
    assert known.priority == 3
    assert await state(store, "c") is JobState.QUEUED


async def test_a_job_that_is_put_back_waits_until_it_is_due(store):
    attempt = await taken(store)
    error = {"attempts": ["500"]}
    assert await store.finish(attempt, Outcome(JobState.QUEUED, error=error, due_at=LATER))
    found = await store.get("a")
    assert found is not None
    assert (found.state, found.due_at, found.error) == (JobState.QUEUED, LATER, error)
    assert found.ended_at is None
    assert await store.beat("one") == set()
    assert await store.take("one", TRANSCRIPTION, ()) is None


async def test_a_job_that_is_put_back_keeps_its_place(store):
    first = await taken(store, "a")
    await store.add(job("b"))
    await store.finish(first, Outcome(JobState.QUEUED))
    assert (await take(store)).id == "a"


@pytest.mark.parametrize("is_running", [False, True])
async def test_a_cancelled_job_is_not_run_any_more(store, is_running):
    await store.add(job("a"))
    attempt = await take(store) if is_running else job("a")
    before = await store.cancel("a", [job("a~cancelled", DELIVERY)])
    assert before is not None
    assert before.state is (JobState.RUNNING if is_running else JobState.QUEUED)
    found = await store.get("a")
    assert found is not None
    assert found.state is JobState.CANCELLED
    assert found.ended_at is not None
    assert await store.beat("one") == set()
    assert not await store.finish(attempt, COMPLETED)
    assert await store.take("two", TRANSCRIPTION, ()) is None
    assert await state(store, "a~cancelled") is JobState.QUEUED


async def test_a_job_that_has_ended_is_not_cancelled(store):
    await store.finish(await taken(store), COMPLETED)
    before = await store.cancel("a", [job("b", DELIVERY)])
    assert before is not None
    assert before.state is JobState.COMPLETED
    assert await state(store, "a") is JobState.COMPLETED
    assert await state(store, "b") is None


async def test_a_job_expires_once_with_its_followers(store):
    past = time.time() - 1
    await store.add(job("queued", deadline_at=past))
    await store.add(job("running", deadline_at=time.time() + 0.3))
    attempt = await take(store)
    await store.add(job("kept", deadline_at=LATER))
    async with asyncio.timeout(60):
        ended: list[str] = []
        while len(ended) < 2:
            found = await store.expire(0.0, lambda late: [job(f"{late.id}~expired", DELIVERY)])
            ended += [one.id for one in found]
            await asyncio.sleep(0.02)
    assert sorted(ended) == ["queued", "running"]
    for name in ended:
        late = await store.get(name)
        assert late is not None
        assert late.state is JobState.EXPIRED
        assert "deadline" in str(late.error)
        assert await state(store, f"{name}~expired") is JobState.QUEUED
    assert await state(store, "kept") is JobState.QUEUED
    assert not await store.finish(attempt, COMPLETED)
    assert await store.expire(0.0, nobody) == []


async def test_what_ended_before_is_forgotten(store):
    attempt = await taken(store)
    await store.progress(attempt, 1.0, 1.0, [{"text": "a"}])
    await store.finish(attempt, COMPLETED)
    await store.add(job("queued"))
    assert await store.expire(time.time() - 60, nobody) == []
    forgotten = await store.expire(time.time() + 60, nobody)
    assert [(one.id, one.state) for one in forgotten] == [("a", JobState.COMPLETED)]
    assert await store.get("a") is None
    assert await store.events("a", 0, 0) == []
    assert await ids(store) == ["queued"]


async def test_a_forgotten_id_can_be_used_again(store):
    await store.finish(await taken(store), COMPLETED)
    await store.expire(time.time() + 60, nobody)
    again = await taken(store)
    assert (again.id, again.attempt) == ("a", 1)


async def test_a_job_is_forgotten_with_its_deliveries_and_a_new_one_of_its_id_is_told_of(store):
    told = {"request": {"webhook": {"url": "https://a.example"}}}
    first, again = job("a~completed", DELIVERY), job("a~completed~2", DELIVERY)
    outcome = dataclasses.replace(COMPLETED, followers=[first])
    await store.add(job("a", **told))
    await store.finish(await taken(store), outcome)
    for other in (again, job("aa~completed", DELIVERY), job("b~completed", DELIVERY)):
        await store.add(other)
    assert [one.id for one in await store.expire(time.time() + 60, nobody)] == ["a"]
    assert [await state(store, one.id) for one in (first, again)] == [None, None]
    assert await state(store, "aa~completed") is JobState.QUEUED
    await store.add(job("a", **told))
    await store.finish(await taken(store), outcome)
    given = [await store.take("one", DELIVERY, ()) for _ in range(4)]
    given_ids = [None if one is None else one.id for one in given]
    assert given_ids == ["aa~completed", "b~completed", "a~completed", None]


async def test_a_call_expires_no_more_than_it_says(store):
    past = time.time() - 60
    followers = [job(f"{n}", deadline_at=past) for n in range(EXPIRE_JOBS + 1)]
    await store.finish(await taken(store), dataclasses.replace(COMPLETED, followers=followers))
    assert len(await store.expire(0.0, nobody)) == EXPIRE_JOBS
    assert len(await store.expire(0.0, nobody)) == 1


async def test_a_transaction_that_fails_changes_nothing(store):
    await store.add(job("a", deadline_at=time.time() - 1))

    def followers(late: Job) -> list[Job]:
        raise RuntimeError(f"no followers of {late.id}")

    with pytest.raises(RuntimeError, match="no followers of a"):
        await store.expire(0.0, followers)
    assert await state(store, "a") is JobState.QUEUED


async def test_jobs_survive_the_end_of_the_store(open_store):
    async with open_store() as store:
        await store.finish(await taken(store, "a"), COMPLETED)
        await store.add(job("b"))
    async with open_store() as store:
        found = await store.get("a", with_result=True)
        assert found is not None
        assert found.result == COMPLETED.result
        assert (await take(store)).id == "b"
