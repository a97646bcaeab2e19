"""Jobs are run in the lowest lane, end once, and leave the engine as soon as they are not ours."""

import asyncio
import threading
import time
from dataclasses import replace

import pytest

from asr.audio.streams import stream_of
from asr.errors import BadUrl, EngineDead, OutOfResources, StorageFailed, StoreUnavailable
from asr.jobs import worker as module
from asr.jobs.attempt import JobAttempt, JobMeans
from asr.jobs.job import JobKind, JobState, Outcome
from asr.jobs.submission import Webhook
from asr.jobs.worker import Worker, WorkerLimits
from asr.metrics import Metrics
from asr.transcription.cutter import Cutter
from tests.conftest import PATIENCE_SECONDS, eventually, tone, wav
from tests.support.fake_engine import FakeEngine
from tests.support.jobs import asked

CLIP = wav(tone(2.0))
LONG = wav(tone(300.0))


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    for name in ("BEAT_SECONDS", "TAKE_SECONDS", "TELL_SECONDS", "RETRY_SECONDS"):
        monkeypatch.setattr(module, name, 0.01)
    monkeypatch.setattr("asr.jobs.service.POLL_SECONDS", 0.005)


@pytest.fixture
def engine():
    return FakeEngine(capacity=4)


@pytest.fixture
async def workers(place, engine, make_transcriber, make_scheduler, monkeypatch, tmp_path):
    """Return a function that starts workers over one engine; they stop with the test."""
    made = []
    scheduler = make_scheduler(engine)
    transcriber = make_transcriber(engine)
    monkeypatch.setattr(transcriber, "_scheduler", scheduler)
    (tmp_path / "clip.wav").write_bytes(CLIP)

    def fetch(url):
        return body(CLIP if url.endswith(".wav") else BadUrl("no such host"))

    async def body(data):
        if isinstance(data, Exception):
            raise data
        yield data

    def start(kept=place, **limits):
        means = JobMeans(transcriber, fetch, lambda path: (tmp_path / path).open("rb"))
        limits = WorkerLimits(**{"most": 8, **limits})
        worker = Worker(kept, scheduler, means, Metrics(), limits)
        worker.start()
        made.append(worker)
        return worker

    start.scheduler = scheduler
    yield start
    engine.gate.set()
    for worker in made:
        await worker.stop()


async def uploaded(jobs, data=CLIP, **how):
    name = await jobs.keep(stream_of([data]))
    return await jobs.submit(asked(audio={"upload": name}, **how))


async def result(jobs, job):
    await jobs.wait(job.id, "")
    return await jobs.get(job.id, "", with_result=True)


async def test_audio_is_had_from_uploads_urls_and_paths(jobs, place, workers):
    workers()
    sent = [await uploaded(jobs)]
    sent += [
        await jobs.submit(asked(audio=audio)) for audio in ({"url": "a.wav"}, {"path": "clip.wav"})
    ]
    for job in sent:
        found = await result(jobs, job)
        assert found.state is JobState.COMPLETED
        assert (await jobs.transcript(found)).text == " 2.00 s"
        assert (found.done_seconds, found.audio_seconds, found.attempt) == (2.0, 2.0, 1)
    await eventually(lambda: not list(place.uploads._files.ls(place.uploads._place)))


async def test_what_fails_is_a_result_with_its_reason(jobs, workers):
    workers()
    wrong = await jobs.submit(asked(audio={"url": "nowhere"}, webhook=Webhook("https://a.example")))
    noise = await uploaded(jobs, b"noise" * 1000)
    found = await result(jobs, wrong)
    assert found.state is JobState.FAILED
    assert found.error == {"message": "no such host", "code": "bad_url", "status": 400}
    assert [each.id for each in await jobs.deliveries(wrong.id, "")] == [f"{wrong.id}~failed"]
    assert (await result(jobs, noise)).error["code"] == "bad_audio"


async def test_segments_are_told_while_the_job_runs_and_each_once(jobs, engine, workers):
    engine.capacity = 1
    job = await uploaded(jobs, LONG)
    seen = asyncio.create_task(_all(jobs.events(job.id, "")))
    workers()
    await jobs.wait(job.id, "")
    events = await seen
    assert [event.data["id"] for event in events] == [f"seg_{n}" for n in range(len(events))]
    found = await jobs.transcript(await result(jobs, job))
    assert "".join(event.data["text"] for event in events) == found.text
    assert len(events) >= 10


async def _all(events):
    return [event async for event in events]


async def test_a_cancelled_job_leaves_the_engine_within_a_step_and_its_upload_is_gone(
    jobs, place, engine, workers
):
    held = asyncio.Event()
    loop = asyncio.get_running_loop()
    steps = engine.step

    def step(admitted):
        if len(engine.steps) == 2:  # a fifth of the recording is transcribed
            engine.gate.clear()
            loop.call_soon_threadsafe(held.set)
        return steps(admitted)

    engine.capacity, engine.step = 1, step
    workers()
    job = await uploaded(jobs, LONG)
    await held.wait()
    scheduler = workers.scheduler
    assert (await jobs.cancel(job.id, "")).state is JobState.RUNNING
    await eventually(lambda: not scheduler._requests)
    steps_before = len(engine.steps)
    engine.gate.set()
    await eventually(lambda: engine.dropped)
    assert scheduler.is_idle
    assert len(engine.steps) <= steps_before + 1
    assert (await jobs.get(job.id, "")).state is JobState.CANCELLED
    assert list(place.uploads._files.ls(place.uploads._place)) == []


async def test_a_cancelled_job_has_the_time_to_leave_what_it_uses(
    jobs, place, workers, monkeypatch
):
    begun, beats, left = asyncio.Event(), [], []
    beat = place.store.beat

    async def counted(owner):
        beats.append(owner)
        return await beat(owner)

    async def outcome(_):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            until = len(beats) + 3
            await eventually(lambda: len(beats) >= until)
            left.append(True)

    monkeypatch.setattr(place.store, "beat", counted)
    monkeypatch.setattr(JobAttempt, "outcome", outcome)
    worker = workers()
    job = await uploaded(jobs, CLIP)
    await begun.wait()
    await jobs.cancel(job.id, "")
    await eventually(lambda: not worker._running)
    assert left == [True]


async def test_a_cancelled_job_that_hangs_gives_its_place_to_others(jobs, workers, monkeypatch):
    began, may_go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    cut = Cutter.cut

    def hang(cutter):
        loop.call_soon_threadsafe(began.set)
        may_go_on.wait(PATIENCE_SECONDS)
        return cut(cutter)

    monkeypatch.setattr(Cutter, "cut", hang)
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.05)
    worker = workers()
    job = await uploaded(jobs, LONG)
    await began.wait()
    await jobs.cancel(job.id, "")
    await eventually(lambda: not worker._running)
    may_go_on.set()


async def test_a_client_runs_no_more_jobs_at_once_than_it_may(jobs, engine, workers):
    engine.gate.clear()
    engine.capacity = 16
    first, second = [await uploaded(jobs, client="one") for _ in range(2)]
    other = await uploaded(jobs, client="two")
    worker = workers(busy=lambda clients: {"one"} & set(clients))
    await eventually(lambda: engine.steps)
    await eventually(lambda: len(worker._running) == 2)
    assert (await jobs.get(other.public_id, "two")).state is JobState.RUNNING
    assert (await jobs.get(first.public_id, "one")).state is JobState.RUNNING
    assert (await jobs.get(second.public_id, "one")).state is JobState.QUEUED
    engine.gate.set()
    await jobs.wait(second.public_id, "one")


async def test_no_more_jobs_are_taken_than_the_engine_has_room_for(jobs, engine, workers):
    """So a job with a higher priority that comes later is taken before those that wait."""
    engine.gate.clear()
    engine.capacity = 4
    sent = [await uploaded(jobs) for _ in range(6)]
    worker = workers()
    await eventually(lambda: len(worker._running) == 2 and engine.steps)
    urgent = await uploaded(jobs, priority=1)
    engine.gate.set()
    for job in [*sent, urgent]:
        await jobs.wait(job.id, "")
    ended = [await jobs.get(job.id, "") for job in sent]
    assert (await jobs.get(urgent.id, "")).started_at < ended[-1].started_at


async def test_what_runs_when_the_server_ends_is_put_back_and_taken_by_another(
    jobs, engine, workers
):
    engine.gate.clear()
    job = await uploaded(jobs)
    first = workers()
    await eventually(lambda: engine.steps)
    await first.drain(0.01)
    await first.stop()
    assert (await jobs.get(job.id, "")).state is JobState.QUEUED
    engine.gate.set()
    workers()
    assert (await jobs.wait(job.id, "")).attempt == 2


async def test_a_job_that_ends_in_time_is_completed_before_the_server_ends(jobs, engine, workers):
    engine.gate.clear()
    job = await uploaded(jobs)
    worker = workers()
    await eventually(lambda: engine.steps)
    draining = asyncio.create_task(worker.drain(60))
    engine.gate.set()
    await draining
    assert (await jobs.get(job.id, "")).state is JobState.COMPLETED
    await worker.stop()


async def test_the_end_of_the_engine_puts_jobs_back_and_no_more_are_taken(jobs, engine, workers):
    engine.gate.clear()
    job = await uploaded(jobs)
    worker = workers()
    await eventually(lambda: engine.steps)
    workers.scheduler.end("it is gone")
    await eventually(lambda: not worker._running)
    waiting = await jobs.get(job.id, "")
    assert (waiting.state, waiting.error) == (JobState.QUEUED, None)
    with pytest.raises(EngineDead):
        workers.scheduler.admit()


class Away:
    """A store that does not answer while it is told so."""

    def __init__(self, store):
        self._store = store
        self.is_away = False
        self.calls = 0

    def __getattr__(self, name):
        async def call(*arguments, **more):
            self.calls += self.is_away
            if self.is_away:
                raise StoreUnavailable("it is away")
            return await getattr(self._store, name)(*arguments, **more)

        return call


async def test_while_the_store_is_away_jobs_go_on_and_end_when_it_is_back(
    jobs, place, engine, workers
):
    engine.gate.clear()
    store = Away(place.store)
    job = await uploaded(jobs)
    worker = workers(type(place)(store, place.uploads))
    await eventually(lambda: engine.steps)
    store.is_away = True
    engine.gate.set()
    await eventually(lambda: worker._running[job.id].is_finishing)
    calls = store.calls
    await eventually(lambda: store.calls > calls + 3)
    store.is_away = False
    found = await jobs.wait(job.id, "")
    assert (found.state, found.attempt) == (JobState.COMPLETED, 1)


async def test_a_job_whose_end_the_store_cannot_take_is_put_back(jobs, place, workers):
    class Faulty(Away):
        async def finish(self, *arguments):
            if not self.calls:
                self.calls = 1
                raise RuntimeError("a fault")
            return await self._store.finish(*arguments)

    workers(type(place)(Faulty(place.store), place.uploads))
    job = await uploaded(jobs)
    found = await jobs.wait(job.id, "")
    assert (found.state, found.attempt) == (JobState.COMPLETED, 2)


@pytest.mark.parametrize("name", ["take", "beat", "progress"])
async def test_a_fault_in_a_call_of_the_store_ends_no_loop(jobs, place, engine, workers, name):
    class Faulty(Away):
        def __getattr__(self, called):
            call = super().__getattr__(called)

            async def once(*arguments, **more):
                if called == name and not self.calls:
                    self.calls = 1
                    raise RuntimeError("a fault")
                return await call(*arguments, **more)

            return once

    engine.gate.clear()
    store = Faulty(place.store)
    worker = workers(type(place)(store, place.uploads))
    job = await uploaded(jobs, LONG)
    await eventually(lambda: worker._running and store.calls)
    await jobs.cancel(job.id, "")
    await eventually(lambda: not worker._running)
    engine.gate.set()
    again = await uploaded(jobs)
    assert (await jobs.wait(again.id, "")).state is JobState.COMPLETED


async def test_an_outcome_whose_answer_was_lost_counts_once(jobs, place, workers, monkeypatch):
    class Deaf(Away):
        async def finish(self, job, outcome):
            await self._store.finish(job, outcome)
            if not self.calls:
                self.calls = 1
                raise StoreUnavailable("no answer")
            return False

    monkeypatch.setattr("asr.jobs.attempt.IN_STORE_BYTES", 0)
    workers(type(place)(Deaf(place.store), place.uploads))
    job = await uploaded(jobs)
    found = await result(jobs, job)
    assert (await jobs.transcript(found)).text == " 2.00 s"


async def test_a_job_that_the_store_gave_out_without_an_answer_is_put_back(jobs, place, workers):
    class Deaf(Away):
        async def take(self, *arguments):
            found = await self._store.take(*arguments)
            if found is not None and not self.calls:
                self.calls = 1
                raise StoreUnavailable("no answer")
            return found

    workers(type(place)(Deaf(place.store), place.uploads))
    job = await uploaded(jobs)
    assert (await jobs.wait(job.id, "")).attempt == 2


async def test_a_job_that_ended_the_server_again_and_again_fails(jobs, place, workers):
    job = await uploaded(jobs)
    for _ in range(20):
        taken = await place.store.take("other", JobKind.TRANSCRIPTION, ())
        await place.store.finish(taken, Outcome(JobState.QUEUED))
    workers()
    found = await jobs.wait(job.id, "")
    assert found.state is JobState.FAILED
    assert "begun 20 times" in found.error["message"]


@pytest.mark.parametrize("passing", [StorageFailed("away"), OutOfResources("no memory")])
async def test_a_job_waits_longer_each_time_while_its_upload_cannot_be_read(
    jobs, place, workers, monkeypatch, passing
):
    monkeypatch.setattr("asr.jobs.attempt.LONGEST_AGAIN_SECONDS", 60.0)
    job = await uploaded(jobs)
    opened, waits = place.uploads.open, []

    async def failing(*arguments):
        if len(waits) < 5:
            raise passing
        return await opened(*arguments)

    finish = place.store.finish

    async def noted(attempt, outcome):
        if outcome.state is JobState.QUEUED:
            waits.append(outcome.due_at - time.time())
        return await finish(attempt, replace(outcome, due_at=0.0))

    monkeypatch.setattr(place.uploads, "open", failing)
    monkeypatch.setattr(place.store, "finish", noted)
    workers()
    assert (await jobs.wait(job.id, "")).state is JobState.COMPLETED
    assert waits == sorted(waits)
    assert 0 < waits[0] < waits[-1] / 4 < 60.0


async def test_a_job_whose_upload_is_on_another_server_fails_and_says_why(jobs, place, workers):
    job = await uploaded(jobs)
    await place.uploads.remove(job.request["audio"]["upload"])
    workers()
    found = await jobs.wait(job.id, "")
    assert (found.state, found.error["status"]) == (JobState.FAILED, 500)
    assert "UPLOADS_URL" in found.error["message"]
    assert found.attempt == 1


async def test_the_late_result_of_a_job_that_was_taken_over_is_dropped(
    jobs, place, engine, workers, monkeypatch
):
    monkeypatch.setattr("asr.jobs.attempt.IN_STORE_BYTES", 0)
    engine.gate.clear()
    job = await uploaded(jobs)
    worker = workers()
    await eventually(lambda: engine.steps)
    running = worker._running[job.id]
    monkeypatch.setattr(running, "is_finishing", True)  # it is frozen, and beats no more
    monkeypatch.setattr(worker, "_is_draining", True)
    ours = running.attempt.job
    await place.store.finish(ours, Outcome(JobState.QUEUED))
    theirs = await place.store.take("another", JobKind.TRANSCRIPTION, ())
    engine.gate.set()
    await eventually(lambda: job.id not in worker._running)
    found = await jobs.get(job.id, "")
    assert (found.state, found.owner, found.attempt) == (JobState.RUNNING, "another", 2)
    assert theirs.request["audio"]["upload"] in await place.uploads.older(-60)
    assert all("-" not in name for name in await place.uploads.older(-60))


async def test_jobs_are_measured(jobs, workers):
    worker = workers()
    job = await uploaded(jobs)
    await jobs.wait(job.id, "")
    await eventually(lambda: not worker._running)
    registry = worker._metrics.registry
    assert registry.get_sample_value("asr_jobs_ended_total", {"state": "completed"}) == 1
    assert registry.get_sample_value("asr_jobs_attempts_total") == 1
    assert registry.get_sample_value("asr_jobs_wait_seconds_count") == 1
    assert registry.get_sample_value("asr_jobs_running") == 0
