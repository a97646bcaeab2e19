"""Late jobs expire, old ones are forgotten, and their files go with them."""

import asyncio
import os
import time

import pytest

from asr.audio.streams import stream_of
from asr.errors import NotFound
from asr.jobs import expiry as module
from asr.jobs.attempt import result_file
from asr.jobs.expiry import Expiry
from asr.jobs.job import JobState, Outcome
from asr.jobs.submission import Webhook
from asr.metrics import Metrics
from tests.support.jobs import asked, taken

DAY = 86_400.0


@pytest.fixture
def news():
    return []


@pytest.fixture
def expiry(place, news):
    return Expiry(place, DAY, Metrics(), lambda: news.append(True))


async def uploaded(jobs, **how):
    name = await jobs.keep(stream_of([b"audio"]))
    return await jobs.submit(asked(audio={"upload": name}, **how)), name


async def test_a_job_whose_deadline_has_passed_expires_and_says_so(jobs, place, expiry, news):
    late, _ = await uploaded(jobs, deadline_s=-1.0, webhook=Webhook("https://a.example"))
    early, name = await uploaded(jobs, deadline_s=60.0)
    news.clear()
    await expiry.expire()
    found = await jobs.get(late.id, "")
    assert found.state is JobState.EXPIRED
    assert "deadline" in found.error["message"]
    assert [each.id for each in await jobs.deliveries(late.id, "")] == [f"{late.id}~expired"]
    assert (await jobs.get(early.id, "")).state is JobState.QUEUED
    assert await place.uploads.older(-60) == [name]
    assert news == [True]  # so a worker that runs it leaves it
    await expiry.expire()
    assert news == [True]


async def test_a_job_that_ended_long_ago_is_forgotten_with_its_result(jobs, place):
    job = await jobs.submit(asked())
    attempt = await taken(place)
    await place.uploads.put(result_file(attempt), b"x")
    await place.store.finish(attempt, Outcome(JobState.COMPLETED, {"file": result_file(attempt)}))
    await Expiry(place, 60.0, Metrics(), lambda: None).expire()
    assert (await jobs.get(job.id, "")).state is JobState.COMPLETED
    await Expiry(place, -60.0, Metrics(), lambda: None).expire()
    with pytest.raises(NotFound):
        await jobs.get(job.id, "")
    assert await place.uploads.older(-60) == []


async def test_old_files_that_no_job_has_are_removed(jobs, place, expiry):
    _, queued = await uploaded(jobs)
    old, new = [await jobs.keep(stream_of([b"audio"])) for _ in range(2)]
    young, forgotten = "a" * 32 + "-1", "b" * 32 + "-1"
    await place.uploads.put(young, b"result")
    await place.uploads.put(forgotten, b"result")
    await place.uploads.put("talk.wav", b"somebody's own")
    ages = {
        queued: 3 * DAY,
        old: 1.1 * DAY,
        young: 1.5 * DAY,
        forgotten: 2.5 * DAY,
        "talk.wav": 9 * DAY,
    }
    for name, seconds in ages.items():
        then = time.time() - seconds
        os.utime(place.uploads._path(name), (then, then))
    await expiry.sweep()
    assert set(await place.uploads.older(-60)) == {queued, new, young}
    assert await place.uploads.get("talk.wav")


async def test_the_jobs_that_wait_are_counted(jobs, place, expiry, monkeypatch):
    monkeypatch.setattr(module, "PAGE_JOBS", 2)
    for _ in range(5):
        await jobs.submit(asked())
    await taken(place)
    await expiry.count()
    assert expiry._metrics.registry.get_sample_value("asr_jobs_queued") == 4


async def test_a_failed_look_does_not_end_it(jobs, expiry, monkeypatch):
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.001)
    counted, expire = asyncio.Event(), expiry.expire
    faults = iter([RuntimeError("a fault")])

    async def expire_later():
        if (error := next(faults, None)) is not None:
            raise error
        await expire()

    monkeypatch.setattr(expiry, "expire", expire_later)
    looks = iter([RuntimeError("a fault"), None])

    async def count():
        if (error := next(looks, None)) is not None:
            raise error
        counted.set()

    monkeypatch.setattr(expiry, "count", count)
    late = await jobs.submit(asked(deadline_s=-1.0))
    running = asyncio.create_task(expiry.run())
    await counted.wait()
    running.cancel()
    assert (await jobs.get(late.id, "")).state is JobState.EXPIRED
