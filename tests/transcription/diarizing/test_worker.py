"""One thread works for all, each in turn, and rests while the engine works for others."""

import threading
from collections.abc import Iterator

import pytest

from asr.metrics import Metrics
from asr.transcription.admission.turns import Rank
from asr.transcription.diarizing.pace import LINGER_SECONDS, SHARE, SLICE_SECONDS
from asr.transcription.diarizing.worker import DiarizationWorker, WorkClock
from tests.conftest import PATIENCE_SECONDS

PIECE = 0.125  # Each piece takes so many seconds of the tests' clock.


class ToldClock(WorkClock):
    """Goes on with pieces and rests alone."""

    def __init__(self) -> None:
        self.now = 0.0
        self.worked = 0.0
        self.rests: list[float] = []

    def elapsed(self) -> float:
        return self.now

    def computed(self) -> float:
        return self.worked

    def rest(self, stopping: threading.Event, seconds: float) -> None:  # noqa: ARG002
        self.now += seconds
        self.rests.append(seconds)

    def work(self) -> None:
        self.now += PIECE
        self.worked += PIECE


class Work:
    """Has some pieces of work; notes each in a list that several share."""

    def __init__(
        self,
        name: str,
        pieces: int,
        done: list[str],
        rank: Rank = Rank.LATER_WORDS,
        clock: ToldClock | None = None,
    ) -> None:
        self.rank = rank
        self.crowded = 0  # for so many questions more the engine works for others
        self.looks: list[bool] = []  # the answers to the first of these questions
        self.left = pieces
        self.ended = threading.Event()
        self.begins = threading.Event()  # set in the first piece
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self._name = name
        self._done = done
        self._clock = clock

    @property
    def gives_way(self) -> bool:
        if self.looks:
            return self.looks.pop()
        self.crowded -= 1
        return self.crowded >= 0

    def work(self) -> bool:
        self.begins.set()
        assert self.may_go_on.wait(PATIENCE_SECONDS)
        self._done.append(self._name)
        if self._clock is not None:
            self._clock.work()
        self.left -= 1
        if self.left == 0:
            self.ended.set()
        return self.left > 0


@pytest.fixture
def clock() -> ToldClock:
    return ToldClock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def worker(clock: ToldClock, metrics: Metrics) -> Iterator[DiarizationWorker]:
    worker = DiarizationWorker(metrics, clock)
    yield worker
    worker.close()


def together(worker: DiarizationWorker, *works: Work) -> None:
    """Let all but the first join while the first one's first piece is in hand; wait for all."""
    first, *others = works
    first.may_go_on.clear()
    worker.wake(first)
    assert first.begins.wait(PATIENCE_SECONDS)
    for other in others:
        worker.wake(other)
    first.may_go_on.set()
    assert all(work.ended.wait(PATIENCE_SECONDS) for work in works)


def test_recordings_are_worked_on_in_turn(worker):
    done: list[str] = []
    together(worker, Work("a", 3, done), Work("b", 2, done), Work("c", 1, done))
    assert done == ["a", "b", "c", "a", "b", "a"]


def test_jobs_are_worked_on_where_nobody_waits(worker):
    done: list[str] = []
    job = Work("job", 2, done, Rank.JOB)
    together(worker, Work("a", 2, done), job, Work("b", 2, done))
    assert done == ["a", "b", "a", "b", "job", "job"]


def test_while_the_engine_works_for_others_the_thread_keeps_to_its_share_of_the_time(worker, clock):
    done: list[str] = []
    work = Work("a", 8, done, clock=clock)
    work.crowded = 10**6
    worker.wake(work)
    assert work.ended.wait(PATIENCE_SECONDS)
    after = Work("b", 1, done)  # it comes when the last rest has ended
    together(worker, after)
    assert clock.worked / clock.now == pytest.approx(SHARE)


def test_without_others_the_thread_does_not_rest(worker, clock):
    together(worker, Work("a", 8, [], clock=clock))
    assert (clock.rests, clock.now) == ([], 8 * PIECE)


def test_a_rest_ends_soon_after_the_work_for_others(worker, clock):
    work = Work("a", 1, [], clock=clock)
    work.crowded = 2
    worker.wake(work)
    assert work.ended.wait(PATIENCE_SECONDS)
    together(worker, Work("b", 1, []))
    assert sum(clock.rests) == pytest.approx(SLICE_SECONDS + LINGER_SECONDS, abs=SLICE_SECONDS)


def test_the_thread_rests_in_the_moment_between_two_requests_of_others(worker, clock):
    done: list[str] = []
    work = Work("a", 2, done, clock=clock)
    work.looks = [True, False, True] * 1000
    worker.wake(work)
    assert work.ended.wait(PATIENCE_SECONDS)
    together(worker, Work("b", 1, done))
    assert clock.worked / clock.now == pytest.approx(SHARE)


def test_live_speech_ends_the_rest(worker, clock):
    done: list[str] = []
    live = Work("live", 1, done, Rank.LIVE, clock)
    recording = Work("recording", 2, done, clock=clock)
    recording.crowded = 10**6
    rest = clock.rest

    def rest_and_speak(stopping: threading.Event, seconds: float) -> None:
        rest(stopping, seconds)
        if live.left:
            worker.wake(live)

    clock.rest = rest_and_speak
    together(worker, recording)
    assert live.ended.wait(PATIENCE_SECONDS)
    assert done == ["recording", "live", "recording"]
    assert clock.rests[0] == SLICE_SECONDS
    assert clock.now - 3 * PIECE < 2 * PIECE / SHARE


def test_who_leaves_has_no_more_turns(worker):
    done: list[str] = []
    stays, leaves = Work("stays", 3, done), Work("leaves", 10**6, done)
    stays.may_go_on.clear()
    worker.wake(stays)
    assert stays.begins.wait(PATIENCE_SECONDS)
    worker.wake(leaves)
    worker.leave(leaves)
    stays.may_go_on.set()
    assert stays.ended.wait(PATIENCE_SECONDS)
    together(worker, Work("last", 1, done))
    assert done == ["stays", "stays", "stays", "last"]


def test_who_leaves_in_mid_piece_has_no_more_turns(worker):
    done: list[str] = []
    leaves = Work("leaves", 10**6, done)
    leaves.may_go_on.clear()
    worker.wake(leaves)
    assert leaves.begins.wait(PATIENCE_SECONDS)
    worker.leave(leaves)
    leaves.may_go_on.set()
    together(worker, Work("last", 2, done))
    assert done == ["leaves", "last", "last"]


def test_news_that_come_in_mid_piece_are_worked_on(worker):
    done: list[str] = []
    work = Work("a", 1, done)
    work.may_go_on.clear()
    worker.wake(work)
    assert work.begins.wait(PATIENCE_SECONDS)
    work.left += 1
    worker.wake(work)
    work.may_go_on.set()
    assert work.ended.wait(PATIENCE_SECONDS)
    assert done == ["a", "a"]


def test_the_time_of_the_work_is_counted(worker, clock, metrics):
    together(worker, Work("a", 4, [], clock=clock))
    together(worker, Work("b", 1, []))
    assert metrics.registry.get_sample_value("asr_diarization_seconds_total") == 4 * PIECE


def test_closing_waits_for_the_piece_in_hand(worker):
    work = Work("a", 10**6, done := [])
    worker.wake(work)
    assert work.begins.wait(PATIENCE_SECONDS)
    worker.close()
    count = len(done)
    assert not any(thread.name == "diarizer" for thread in threading.enumerate())
    assert len(done) == count
