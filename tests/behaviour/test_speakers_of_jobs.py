"""A job tells who speaks in its result; its progress counts what waits for the diarizer."""

from dataclasses import replace

import pytest

from asr.audio.streams import stream_of
from asr.jobs import worker as module
from asr.jobs.attempt import JobMeans
from asr.jobs.job import JobState
from asr.jobs.worker import Worker, WorkerLimits
from asr.metrics import Metrics
from asr.options import Options, SpeakerOptions
from tests.conftest import eventually, wav
from tests.support.fake_diarizer import FakeDiarizer
from tests.support.fake_engine import FakeEngine
from tests.support.jobs import asked
from tests.support.spoken import dialogue, worded

ASKED = Options(language="en", speakers=SpeakerOptions())
SOUND = wav(dialogue(20.0, 20.0, 20.0))


@pytest.fixture
def diarizer():
    return FakeDiarizer()


@pytest.fixture
async def run(place, jobs, diarizer, make_transcriber, monkeypatch):
    """Return a function that submits a job to a worker with the fake engine and diarizer."""
    for name in ("BEAT_SECONDS", "TAKE_SECONDS", "TELL_SECONDS", "RETRY_SECONDS"):
        monkeypatch.setattr(module, name, 0.01)
    monkeypatch.setattr("asr.jobs.service.POLL_SECONDS", 0.005)
    fake = FakeEngine(transcribe=worded, info=replace(FakeEngine.info, has_words=True))
    transcriber = make_transcriber(fake, diarizer=diarizer, window_seconds=10.0)
    means = JobMeans(transcriber, lambda _: None, lambda _: None)
    worker = Worker(place, transcriber._scheduler, means, Metrics(), WorkerLimits(most=8))
    worker.start()

    async def submit(data=SOUND):
        name = await jobs.keep(stream_of([data]))
        return await jobs.submit(asked(audio={"upload": name}, options=ASKED))

    yield submit
    diarizer.gate.set()
    await worker.stop()


async def result(jobs, job):
    await jobs.wait(job.id, "")
    return await jobs.get(job.id, "", with_result=True)


async def test_a_jobs_result_has_speakers_and_turns(jobs, run):
    found = await result(jobs, await run())
    transcript = await jobs.transcript(found)
    labels = [segment.speaker.label for segment in transcript.segments]
    assert list(dict.fromkeys(labels)) == ["SPEAKER_00", "SPEAKER_01"]
    assert labels[-1] == "SPEAKER_00"
    assert [turn.end for turn in transcript.turns] == [20.0, 40.0, 60.0]
    assert transcript.text.split() == [f"w{n:02}" for n in range(120)]
    assert all(segment.words == () for segment in transcript.segments)
    assert (found.done_seconds, found.audio_seconds) == (60.0, 60.0)


async def test_the_progress_of_a_job_counts_what_waits_for_the_diarizer(jobs, run, diarizer):
    diarizer.gate.clear()
    job = await run()
    events = jobs.events(job.id, "")
    assert await anext(events)  # some text is there
    assert (await jobs.get(job.id, "")).done_seconds == 0.0
    diarizer.gate.set()
    found = await result(jobs, job)
    assert found.done_seconds == 60.0
    await events.aclose()


async def test_a_job_that_is_cancelled_frees_its_session(jobs, run, diarizer):
    diarizer.gate.clear()
    job = await run()
    await eventually(lambda: diarizer.alive)
    await jobs.cancel(job.id, "")
    diarizer.gate.set()
    await eventually(lambda: not diarizer.alive)
    assert (await jobs.get(job.id, "")).state is JobState.CANCELLED


async def test_a_job_fails_whose_diarizer_fails(jobs, run, diarizer):
    diarizer.failing = "finish"
    found = await result(jobs, await run())
    assert found.state is JobState.FAILED
    assert (found.error["code"], found.error["status"]) == ("diarization_failed", 500)
