"""One thread that works on all recordings whose speakers are told apart, in turn."""

from __future__ import annotations

import logging
import threading
import time
from typing import Protocol

from asr.metrics import Metrics
from asr.transcription.admission.turns import Rank, Turns
from asr.transcription.diarizing import pace

log = logging.getLogger(__name__)

STOP_SECONDS = 1.0  # When the process ends, the piece in hand may take this many seconds more.


class Workload(Protocol):
    """What the worker needs of a recording."""

    @property
    def rank(self) -> Rank: ...

    @property
    def gives_way(self) -> bool:
        """Whether the engine works for others now."""

    def work(self) -> bool:
        """Do one piece; return whether there is more. Nothing is raised."""


class WorkClock:
    """The clocks of a thread, and its rest."""

    def elapsed(self) -> float:
        return time.monotonic()

    def computed(self) -> float:
        """Seconds of processor time that this thread has taken."""
        return time.thread_time()

    def rest(self, stopping: threading.Event, seconds: float) -> None:
        stopping.wait(seconds)


class DiarizationWorker:
    """Works on recordings piece by piece, each in its turn, jobs last; rests behind the engine.

    Its thread starts with the first recording.
    """

    def __init__(self, metrics: Metrics, clock: WorkClock | None = None) -> None:
        self._metrics = metrics
        self._clock = clock or WorkClock()
        self._changed = threading.Condition()
        self._turns: Turns[Workload] = Turns()
        self._waiting: set[Workload] = set()  # those in `_turns`
        self._current: Workload | None = None
        self._has_news = False  # for the current one
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._crowded_until = float("-inf")  # by the clock, others count; of the thread

    def wake(self, workload: Workload) -> None:
        """Let `workload` have a turn, because there is something to do."""
        with self._changed:
            if workload is self._current:
                self._has_news = True
            else:
                self._add(workload)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="diarizer", daemon=True)
                self._thread.start()

    def leave(self, workload: Workload) -> None:
        """Let `workload` have no more turns; one that it has goes on to its end."""
        with self._changed:
            self._turns.remove(workload)
            self._waiting.discard(workload)
            if workload is self._current:
                self._current = None

    def close(self) -> None:
        """End the thread after the piece in hand, and wait for it, if that ends soon.

        The process could not end well while the thread computes.
        """
        self._stopping.set()
        with self._changed:
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def _add(self, workload: Workload) -> None:
        if workload not in self._waiting:
            self._waiting.add(workload)
            self._turns.add(workload, workload.rank)
            self._changed.notify()

    def _serve(self) -> None:
        while (workload := self._next()) is not None:
            clock = self._clock
            began, computed = clock.elapsed(), clock.computed()
            has_more = workload.work()
            computed = clock.computed() - computed
            self._metrics.diarization_seconds.inc(computed)
            self._put_back(workload, has_more)
            self._rest(workload, pace.rest(computed, clock.elapsed() - began))
            del workload  # which would be held until the next one comes

    def _next(self) -> Workload | None:
        """Wait for the one whose turn it is; None when it is time to stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._turns or self._stopping.is_set())
            if self._stopping.is_set():
                return None
            self._current = workload = self._turns.next()
            self._waiting.discard(workload)
            self._has_news = False
            return workload

    def _put_back(self, workload: Workload, has_more: bool) -> None:
        with self._changed:
            if workload is self._current and (has_more or self._has_news):
                self._add(workload)
            self._current = None

    def _rest(self, workload: Workload, seconds: float) -> None:
        """Rest as long as the engine works for others, `seconds` at most.

        Live speech ends the rest: somebody waits for it.
        """
        ends = self._clock.elapsed() + seconds
        while self._gives_way(workload) and not self._is_wanted:
            left = ends - self._clock.elapsed()
            if left <= 0:
                return
            self._clock.rest(self._stopping, min(left, pace.SLICE_SECONDS))

    @property
    def _is_wanted(self) -> bool:
        return self._turns.has_live or self._stopping.is_set()

    def _gives_way(self, workload: Workload) -> bool:
        """Whether the engine works for others, or has done so a moment ago."""
        now = self._clock.elapsed()
        if workload.gives_way:
            self._crowded_until = now + pace.LINGER_SECONDS
        return now < self._crowded_until
