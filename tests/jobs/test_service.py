"""Clients submit, follow and cancel jobs, each its own."""

import asyncio
import base64
from itertools import pairwise

import pytest

from asr.audio.streams import stream_of
from asr.errors import BadRequest, CallerError, IdConflict, NotCompleted, NotFound, ShuttingDown
from asr.jobs.job import JobKind, JobState, Outcome
from asr.jobs.requests import packed
from asr.jobs.service import POLL_SECONDS, POLLS_A_SECOND, Looks
from asr.jobs.submission import Webhook
from asr.jobs.webhooks.runner import attempts_of
from asr.transcript import Segment, Transcript
from tests.conftest import eventually
from tests.support.jobs import asked, taken

HOOK = Webhook("https://example.com")
CLIENTS = ("one", "two", "")
TRANSCRIPT = Transcript((Segment(0.0, 1.0, " hi"),), "en", 1.0)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr("asr.jobs.service.POLL_SECONDS", 0.001)


def completed():
    data = base64.b64encode(packed(TRANSCRIPT)[0]).decode()
    return Outcome(JobState.COMPLETED, {"transcript": data})


async def test_a_job_is_got_by_its_client_alone(jobs):
    job = await jobs.submit(asked(client="one"))
    assert (await jobs.get(job.public_id, "one")).state is JobState.QUEUED
    for other in ("two", ""):
        for ask in (jobs.get, jobs.wait, jobs.cancel, jobs.deliveries, jobs.redeliver):
            with pytest.raises(NotFound, match="there is no job"):
                await ask(job.public_id, other)
        assert (await jobs.page(other, (), None, 10)).jobs == ()
    assert [each.id for each in (await jobs.page("one", (), None, 10)).jobs] == [job.id]


async def test_the_same_request_under_the_same_id_is_one_job(jobs, place):
    first = await jobs.keep(stream_of([b"audio"]))
    second = await jobs.keep(stream_of([b"audio"]))
    job = await jobs.submit(asked(id="a", fingerprint="f", audio={"upload": first}))
    again = await jobs.submit(asked(id="a", fingerprint="f", audio={"upload": second}))
    assert again.created_at == job.created_at
    assert await place.uploads.older(-60) == [first]


async def test_another_request_under_the_same_id_is_refused_and_not_kept(jobs, place):
    await jobs.submit(asked(id="a", client="one", fingerprint="f"))
    name = await jobs.keep(stream_of([b"audio"]))
    again = asked(id="a", client="one", fingerprint="g", audio={"upload": name})
    with pytest.raises(IdConflict, match="the job 'a' was submitted") as raised:
        await jobs.submit(again)
    assert raised.value.status == 422
    assert await place.uploads.older(-60) == []


async def test_clients_choose_ids_without_knowing_those_of_others(jobs):
    sent = [await jobs.submit(asked(id="a", client=client, webhook=HOOK)) for client in CLIENTS]
    assert len({job.id for job in sent}) == len(CLIENTS)
    assert {job.public_id for job in sent} == {"a"}
    await jobs.cancel("a", "two")
    states = [(await jobs.get("a", client)).state for client in CLIENTS]
    assert states == [JobState.QUEUED, JobState.CANCELLED, JobState.QUEUED]
    assert (await jobs.redeliver("a", "two")).public_id == "a~cancelled~2"
    told = await jobs.deliveries("a", "two")
    assert [each.request["webhook_id"] for each in told] == ["two/a~cancelled"] * 2
    for client, job_id in (("", "one/a"), ("two", "one/a"), ("on", "e/a")):
        with pytest.raises(NotFound):
            await jobs.get(job_id, client)


def test_those_who_wait_look_one_after_the_other_and_those_who_left_delay_nobody(monkeypatch):
    monkeypatch.setattr("asr.jobs.service.POLL_SECONDS", POLL_SECONDS)
    looks = Looks()
    assert [looks.wait(now, 1) for now in (0.0, 0.5, 1.0)] == [POLL_SECONDS] * 3
    looks = Looks()
    planned = sorted(5.0 + looks.wait(5.0, 1000) for _ in range(1000))  # all came at once
    gaps = [later - earlier for earlier, later in pairwise(planned)]
    assert min(gaps) == pytest.approx(1 / POLLS_A_SECOND)
    assert planned[-1] - 5.0 <= POLL_SECONDS + 1000 / POLLS_A_SECOND
    again = [now + looks.wait(now, 1000) for now in planned]
    gaps = [later - earlier for earlier, later in pairwise(again)]
    assert min(gaps) == pytest.approx(1 / POLLS_A_SECOND)
    looks.wait(planned[0], 1000)
    assert looks.wait(planned[0], 1) <= POLL_SECONDS + 1 / POLLS_A_SECOND + 1e-9  # the others left


async def test_a_list_goes_on_after_a_job_of_the_same_client_alone(jobs):
    for job_id in ("a", "b", "c"):
        await jobs.submit(asked(id=job_id, client="one"))
    first = await jobs.page("one", (), None, 2)
    assert ([job.public_id for job in first.jobs], first.after) == (["c", "b"], "b")
    rest = await jobs.page("one", (), first.after, 2)
    assert ([job.public_id for job in rest.jobs], rest.after) == (["a"], None)
    await jobs.submit(asked(id="d", client="two"))
    with pytest.raises(NotFound):
        await jobs.page("two", (), "b", 2)


@pytest.mark.parametrize("job_id", ["", "a/b", "a" * 10_000, "a~completed"])
async def test_what_is_no_id_is_not_looked_for(jobs, job_id):
    for ask in (jobs.get, jobs.cancel, jobs.redeliver):
        with pytest.raises(NotFound, match="there is no job"):
            await ask(job_id, "")
    with pytest.raises(NotFound):
        await jobs.page("", (), job_id, 10)


@pytest.mark.parametrize("job_id", ["a\0b", "a\ud800", "%00"])
async def test_what_is_no_text_is_no_id(jobs, job_id):
    for ask in (jobs.get, jobs.cancel, jobs.redeliver):
        with pytest.raises(BadRequest, match="a job's id may have"):
            await ask(job_id, "")
    with pytest.raises(BadRequest):
        await jobs.page("", (), job_id, 10)


async def test_the_result_of_a_completed_job_is_its_transcript(jobs, place):
    job = await jobs.submit(asked())
    with pytest.raises(NotCompleted, match="is queued"):
        await jobs.transcript(await jobs.get(job.id, "", with_result=True))
    assert await place.store.finish(await taken(place), completed())
    assert await jobs.transcript(await jobs.get(job.id, "", with_result=True)) == TRANSCRIPT


async def test_a_large_result_is_read_from_its_file(jobs, place):
    job = await jobs.submit(asked())
    await place.uploads.put("large", packed(TRANSCRIPT)[0])
    outcome = Outcome(JobState.COMPLETED, {"file": "large"})
    assert await place.store.finish(await taken(place), outcome)
    assert await jobs.transcript(await jobs.get(job.id, "", with_result=True)) == TRANSCRIPT


async def test_events_come_until_the_job_has_ended_and_each_once(jobs, place):
    job = await jobs.submit(asked())
    attempt = await taken(place)
    await place.store.progress(attempt, 1.0, 3.0, [{"n": 1}, {"n": 2}])
    reader = jobs.events(job.id, "")
    assert [(await anext(reader)).data["n"] for _ in range(2)] == [1, 2]
    await reader.aclose()  # the connection breaks
    resumed = asyncio.create_task(_all(jobs.events(job.id, "", (1, 1))))
    await place.store.progress(attempt, 3.0, 3.0, [{"n": 3}])
    await place.store.finish(attempt, completed())
    assert await resumed == [(1, 2, 2), (1, 3, 3)]


async def test_events_of_a_new_attempt_begin_anew(jobs, place):
    job = await jobs.submit(asked())
    first = await taken(place)
    await place.store.progress(first, 1.0, 3.0, [{"n": 1}, {"n": 2}])
    await place.store.finish(first, Outcome(JobState.QUEUED))
    second = await taken(place)
    await place.store.progress(second, 1.0, 3.0, [{"n": 1}])
    await place.store.finish(second, completed())
    assert await _all(jobs.events(job.id, "", (1, 2))) == [(2, 1, 1)]


async def _all(events):
    return [(event.attempt, event.number, event.data["n"]) async for event in events]


async def test_who_waits_gets_the_job_that_has_ended(jobs, place):
    job = await jobs.submit(asked())
    waiting = asyncio.create_task(jobs.wait(job.id, ""))
    await place.store.finish(await taken(place), completed())
    assert (await waiting).state is JobState.COMPLETED


async def test_a_cancelled_job_loses_its_upload_and_tells_its_webhook(jobs, place):
    name = await jobs.keep(stream_of([b"audio"]))
    job = await jobs.submit(asked(audio={"upload": name}, webhook=HOOK))
    assert (await jobs.cancel(job.id, "")).state is JobState.QUEUED
    assert (await jobs.get(job.id, "")).state is JobState.CANCELLED
    assert await place.uploads.older(-60) == []
    assert [each.id for each in await jobs.deliveries(job.id, "")] == [f"{job.id}~cancelled"]
    assert (await jobs.cancel(job.id, "")).state is JobState.CANCELLED
    assert len(await jobs.deliveries(job.id, "")) == 1


async def test_a_webhook_is_told_again_on_demand(jobs):
    job = await jobs.submit(asked(webhook=HOOK))
    with pytest.raises(NotCompleted, match="nothing to tell"):
        await jobs.redeliver(job.id, "")
    await jobs.cancel(job.id, "")
    again = await jobs.redeliver(job.id, "")
    assert again.id == f"{job.id}~cancelled~2"
    assert [each.id for each in await jobs.deliveries(job.id, "")][1:] == [again.id]
    assert again.kind is JobKind.DELIVERY
    silent = await jobs.submit(asked())
    with pytest.raises(BadRequest, match="without a webhook"):
        await jobs.redeliver(silent.id, "")


async def test_a_webhook_is_told_so_often_and_no_more(jobs, monkeypatch):
    monkeypatch.setattr("asr.jobs.service.MOST_DELIVERIES", 2)
    job = await jobs.submit(asked(webhook=HOOK))
    await jobs.cancel(job.id, "")
    added = await asyncio.gather(*(jobs.redeliver(job.id, "") for _ in range(3)))
    assert len({each.id for each in added}) == 1  # who asks at once asks for the same
    with pytest.raises(BadRequest, match="told 2 times"):
        await jobs.redeliver(job.id, "")


async def test_a_webhook_that_could_never_be_sent_is_refused_and_nothing_is_kept(jobs):
    for webhook in (
        Webhook("http://127.0.0.1/"),
        Webhook("https://example.com", "no secret"),
        Webhook("https://example.com", headers={"Host": "other"}),
    ):
        with pytest.raises(CallerError):
            await jobs.submit(asked(webhook=webhook))
    assert (await jobs.page("", (), None, 10)).jobs == ()


async def test_the_attempts_of_a_delivery_are_seen_with_it(jobs, place):
    job = await jobs.submit(asked(webhook=HOOK))
    await jobs.cancel(job.id, "")
    told = await place.store.take("webhooks", JobKind.DELIVERY, ())
    await place.store.finish(told, Outcome(JobState.COMPLETED, {"attempts": [{"status": 204}]}))
    [delivery] = await jobs.deliveries(job.id, "")
    assert attempts_of(delivery) == [{"status": 204}]


async def test_a_delivery_is_no_job_of_the_client(jobs):
    job = await jobs.submit(asked(webhook=HOOK))
    await jobs.cancel(job.id, "")
    with pytest.raises(NotFound):
        await jobs.get(f"{job.id}~cancelled", "")


async def test_the_worker_is_woken_for_new_jobs_and_for_cancelled_ones(jobs, monkeypatch):
    news = []
    monkeypatch.setattr(jobs, "_wake", lambda: news.append(True))
    job = await jobs.submit(asked())
    await jobs.cancel(job.id, "")
    assert len(news) == 2


async def test_who_has_left_waits_no_more(jobs):
    job = await jobs.submit(asked())
    reader = jobs.events(job.id, "")
    waiting = [asyncio.create_task(jobs.wait(job.id, "")), asyncio.create_task(anext(reader))]
    await eventually(lambda: jobs._followers == 2)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await reader.aclose()
    assert jobs._followers == 0


async def test_who_follows_a_job_is_told_when_the_server_ends(jobs):
    job = await jobs.submit(asked())
    following = [asyncio.create_task(_all(jobs.events(job.id, "")))]
    following += [asyncio.create_task(jobs.wait(job.id, ""))]
    await asyncio.sleep(0)
    jobs.end()
    for task in following:
        with pytest.raises(ShuttingDown, match="follow the job on another server"):
            await task


async def test_the_text_so_far_is_that_of_the_segments(jobs, place):
    job = await jobs.submit(asked())
    await place.store.progress(await taken(place), 1.0, 3.0, [{"text": " one"}, {"text": " two"}])
    assert await jobs.text(job) == " one two"
