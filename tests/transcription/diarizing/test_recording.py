"""One recording's samples go to its session, no faster than it works, and come back as turns."""

import asyncio
import threading
from collections import deque
from collections.abc import Iterator

import numpy as np
import pytest

from asr.errors import DiarizationFailed, OutOfResources, QueueFull
from asr.metrics import Metrics
from asr.options import SpeakerOptions
from asr.pcm import SAMPLE_RATE
from asr.transcription.admission.turns import Rank
from asr.transcription.diarizing.recording import LAG_SECONDS, DiarizedRecording
from asr.transcription.diarizing.worker import DiarizationWorker
from asr.transcription.scheduled_request import Timings
from tests.conftest import eventually
from tests.support.fake_diarizer import FakeDiarizer
from tests.support.fake_engine import FakeEngine
from tests.support.spoken import dialogue

BLOCK = np.zeros(10 * SAMPLE_RATE, np.float32)


class Request:
    """Stands for the request in the queue."""

    is_job = False
    is_urgent = False
    is_diarized = False
    has_company = False

    def __init__(self) -> None:
        self.lagging = 0
        self.failure: BaseException | None = None

    def lag(self, samples: int) -> None:
        self.lagging = samples

    def fail(self, error: BaseException) -> None:
        self.failure = error


class Place:
    """What a test needs to make recordings."""

    def __init__(self) -> None:
        self.diarizer = FakeDiarizer()
        self.metrics = Metrics()
        self.worker = DiarizationWorker(self.metrics)
        self.request = Request()
        self.timings = Timings()

    def recording(self) -> DiarizedRecording:
        return DiarizedRecording(
            self.worker,
            self.diarizer,
            SpeakerOptions(count=2),
            self.request,
            self.timings,
            self.metrics,
        )


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place()
    yield place
    place.diarizer.gate.set()
    place.worker.close()


async def test_what_is_pushed_is_told_apart_on_the_workers_thread(place):
    recording = place.recording()
    for block in np.array_split(dialogue(2.0, 3.0), 7):
        recording.push(block)
    recording.complete()
    found = await recording.finish()
    assert [(turn.start, turn.end, turn.voice) for turn in found.turns] == [(0, 2, 0), (2, 5, 1)]
    assert place.diarizer.begun == [SpeakerOptions(count=2)]
    assert len(place.diarizer.threads) == 1
    assert threading.get_ident() not in place.diarizer.threads
    assert (place.request.lagging, place.timings.diarized) == (0, 5.0)
    assert place.metrics.registry.get_sample_value("asr_diarized_audio_seconds_total") == 5.0


async def test_speech_that_goes_on_comes_first_and_does_not_rest(place):
    place.request.has_company = True
    assert place.recording().gives_way
    assert place.recording().rank is Rank.LATER_WORDS
    place.request.is_urgent = True
    assert not place.recording().gives_way
    assert place.recording().rank is Rank.LIVE


async def test_a_recording_without_samples_has_no_turns(place):
    recording = place.recording()
    recording.complete()
    assert (await recording.finish()).turns == ()


async def test_decoding_waits_while_the_diarizer_is_too_far_behind(place):
    place.diarizer.gate.clear()
    recording = place.recording()
    pushed = 0
    while pushed <= LAG_SECONDS:
        await recording.room()
        recording.push(BLOCK)
        pushed += 10
    assert place.request.lagging == pushed * SAMPLE_RATE
    waiting = asyncio.create_task(recording.room())
    await eventually(lambda: place.diarizer.threads)
    assert not waiting.done()
    place.diarizer.gate.set()
    await waiting
    assert place.request.lagging <= LAG_SECONDS * SAMPLE_RATE


async def test_decoding_does_not_wait_for_one_that_needs_more_samples_to_go_on(place):
    """A backend that works on whole recordings alone is as far behind as can be."""

    class Whole:
        waiting = 1000.0

        def push(self, samples): ...

        def advance(self):
            return False

    place.diarizer.begin = lambda _: Whole()
    recording = place.recording()
    for _ in range(20):
        await recording.room()
        recording.push(BLOCK)
    recording.close()


@pytest.mark.parametrize("failing", ["begin", "advance", "finish"])
async def test_a_failure_is_told_to_whoever_waits(place, failing):
    place.diarizer.failing = failing
    recording = place.recording()
    recording.push(dialogue(3.0))
    recording.complete()
    with pytest.raises(DiarizationFailed, match="RuntimeError") as failure:
        await recording.finish()
    assert "broken" not in failure.value.message
    assert place.request.failure is failure.value
    with pytest.raises(DiarizationFailed):
        await recording.room()


async def test_a_failure_lets_decoding_that_waits_fail(place):
    place.diarizer.gate.clear()
    recording = place.recording()
    for _ in range(8):
        recording.push(BLOCK)
    waiting = asyncio.create_task(recording.room())
    await eventually(lambda: place.diarizer.threads)
    place.diarizer.failing = "advance"
    place.diarizer.gate.set()
    with pytest.raises(DiarizationFailed):
        await waiting


async def test_a_lack_of_memory_is_told_as_such(place):
    def begin(_):
        raise MemoryError

    place.diarizer.begin = begin
    recording = place.recording()
    recording.complete()
    with pytest.raises(OutOfResources):
        await recording.finish()


async def test_closing_frees_the_session_although_it_has_work_left(place):
    place.diarizer.gate.clear()
    recording = place.recording()
    recording.push(dialogue(100.0))
    await eventually(lambda: place.diarizer.alive)
    finishing = asyncio.create_task(recording.finish())
    await asyncio.sleep(0)
    finishing.cancel()
    recording.close()
    assert place.diarizer.alive  # its piece is in hand
    place.diarizer.gate.set()
    await eventually(lambda: not place.diarizer.alive)
    assert place.diarizer.order in ([], [0])


async def test_a_session_that_has_ended_is_freed_while_its_request_goes_on(place):
    recording = place.recording()
    recording.push(dialogue(3.0))
    recording.complete()
    await recording.finish()
    await eventually(lambda: not place.diarizer.alive)


async def test_closing_while_the_worker_takes_samples_is_no_failure(place, caplog):
    recording = place.recording()

    class Inbox(deque):
        def popleft(self):
            recording.close()
            return super().popleft()

    recording._inbox = Inbox([BLOCK])
    recording.work()
    assert caplog.records == []


async def test_samples_that_are_refused_do_not_count(place, make_scheduler):
    scheduler = make_scheduler(FakeEngine(), max_queue_seconds=60)
    failures = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: failures.append(what))
    place.diarizer.gate.clear()
    with scheduler.admit() as others, scheduler.admit() as place.request:
        others.hold(35 * SAMPLE_RATE)
        recording = place.recording()
        for _ in range(2):
            recording.push(BLOCK)
        with pytest.raises(QueueFull):
            recording.push(BLOCK)
        with pytest.raises(QueueFull):
            place.request.hold(10 * SAMPLE_RATE)
        place.diarizer.gate.set()
        await eventually(lambda: place.timings.diarized)
        recording.close()
        place.request.complete()
    assert failures == []
