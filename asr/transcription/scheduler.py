"""Run windows of all requests through the engine, in turn, on its one thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import sys
import threading
import time
from collections.abc import Iterator

from asr.engines.engine import Engine, Window, WindowResult
from asr.errors import EngineDead, QueueFull
from asr.metrics import Metrics
from asr.pcm import SAMPLE_RATE
from asr.transcription.admission.job_lane import SHARE, JobLane
from asr.transcription.admission.ledger import AudioLedger
from asr.transcription.admission.retries import RetryTimes
from asr.transcription.admission.scheduled_window import ScheduledWindow
from asr.transcription.admission.waiting import WaitingRequests
from asr.transcription.scheduled_request import ScheduledRequest

log = logging.getLogger(__name__)

FULL_SECONDS = 30.0  # Most models' longest window has this many seconds.
QUEUED_ENGINES = 16  # Without MAX_QUEUE_SECONDS so many times the engine's capacity may wait.
AHEAD_ENGINES = 2  # Long requests together have so many times the engine's capacity on their way.
LEAST_AHEAD = 3  # Each of them has at least so many windows: in the engine, next, and to come.
STOP_SECONDS = 1  # When the process ends, the step in hand may take this many seconds more.


class Scheduler:
    """Feeds the engine from one thread; its other methods belong to the event loop."""

    def __init__(
        self,
        engine: Engine,
        max_queue_seconds: float | None,
        metrics: Metrics,
        memory_seconds: float = math.inf,  # of audio that the memory has room for
        jobs_share: float = SHARE,  # of the engine, for windows of jobs
    ) -> None:
        capacity = engine.capacity
        self._engine = engine
        wanted = max_queue_seconds or QUEUED_ENGINES * capacity * FULL_SECONDS
        self._max_queue_seconds = min(wanted, memory_seconds)
        self._ledger = AudioLedger(round(self._max_queue_seconds * SAMPLE_RATE))
        self._jobs = JobLane(capacity, jobs_share, memory_seconds)
        self._retries = RetryTimes()
        self._metrics = metrics
        self._changed = threading.Condition()
        self._waiting = WaitingRequests(self._jobs)
        self._inside: dict[Window, ScheduledRequest] = {}  # windows that the engine holds
        self._dropped: list[Window] = []
        self._stopping = False
        self._may_prepare = True  # the engine may have work for idle moments
        self._requests: set[ScheduledRequest] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._serve, name="engine", daemon=True)
        self.failure: str | None = None  # why the engine ended
        metrics.engine_capacity.set(capacity)
        metrics.queue_seconds.set_function(lambda: self.queue_seconds)

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._metrics.engine_up.set(1)
        self._thread.start()

    async def stop(self) -> None:
        """End the thread after the step in hand, if that ends soon; fail whoever still waits."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join, STOP_SECONDS)
        self.end("the server is shutting down")

    # --- what requests do, in the event loop ---

    def admit(self, is_job: bool = False, is_live: bool = False) -> ScheduledRequest:
        """Admit a request; before its audio arrives it counts for one second.

        A job counts among jobs alone, and its windows enter the engine after all others. Live
        windows enter it before all others, are never refused, and count nowhere: their sessions
        are limited in number and in memory.

        Raises:
            QueueFull: too much audio is waiting already.
            EngineDead: the engine has ended.
        """
        ledger = self._jobs.ledger if is_job else self._ledger
        if is_live:
            ledger = AudioLedger(sys.maxsize)
        self._refuse_if(ledger.is_full)
        request = ScheduledRequest(self, ledger.open(), is_job, is_live)
        self._requests.add(request)
        return request

    @contextlib.contextmanager
    def expect(self) -> Iterator[None]:
        """Count a request whose head has come, so that no more are let in than there is room for.

        Raises:
            QueueFull: too much audio is waiting already, or too many requests are on their way.
            EngineDead: the engine has ended.
        """
        self._refuse_if(self._ledger.is_spoken_for)
        self._ledger.expected += 1
        try:
            yield
        finally:
            self._ledger.expected -= 1

    def _refuse_if(self, is_full: bool) -> None:
        if self.failure is not None:
            raise EngineDead(f"the engine has ended: {self.failure}")
        if is_full:
            raise self.refusal()

    def refusal(self, is_long: bool = False) -> QueueFull:
        """The error for a request that there is no room for, with a time to come again.

        Args:
            is_long: whether it waits for room among long ones, which may last for hours.
        """
        queued, limit = self._ledger.spoken_for / SAMPLE_RATE, self._max_queue_seconds
        return self._retries.refusal(queued, limit, is_long)

    @property
    def queue_seconds(self) -> float:
        """Seconds of audio that are decoded and whose text nobody has taken yet."""
        return self._ledger.held / SAMPLE_RATE

    @property
    def pace(self) -> float | None:
        """Seconds of audio per second of the engine's work; None before the first result."""
        return self._retries.pace

    @property
    def most_jobs(self) -> int:
        """How many jobs there is memory for at once."""
        return self._jobs.most_jobs

    @property
    def missing_job_windows(self) -> int:
        """How many windows of jobs the engine would take, and one to come, beside those here."""
        with self._changed:
            waiting = sum(len(each.waiting) for each in self._requests if each.is_job)
            inside = sum(each.is_job for each in self._inside.values())
        return self._jobs.most_windows + 1 - waiting - inside

    def windows_ahead(self, is_job: bool = False) -> int:
        """How many windows each long request may have on their way: its share of the engine."""
        ledger = self._jobs.ledger if is_job else self._ledger
        capacity = self._jobs.most_windows if is_job else self._engine.capacity
        requests = max(1, len(ledger.long_accounts))
        return max(LEAST_AHEAD, math.ceil(AHEAD_ENGINES * capacity / requests))

    @property
    def is_idle(self) -> bool:
        """Whether the engine would begin at once with a new window."""
        return not self._waiting and not self._inside

    def has_others(self, request: ScheduledRequest) -> bool:
        """Whether the engine works for others, who wait for no diarizer; may run in any thread.

        To a request that is no job, jobs are none.
        """
        with self._changed:
            return any(
                not other.is_diarized and (request.is_job or not other.is_job)
                for others in (self._inside.values(), self._waiting)
                for other in others
            )

    def enqueue(self, request: ScheduledRequest, pending: ScheduledWindow) -> None:
        with self._changed:
            self._waiting.add(request, pending)
            self._changed.notify()

    def replace(self, request: ScheduledRequest, pending: ScheduledWindow, window: Window) -> bool:
        """Let `window` wait in the place of a pending one; False where that waits no more."""
        with self._changed:
            if pending not in request.waiting:
                return False
            pending.window = window
            return True

    def forget(self, request: ScheduledRequest) -> None:
        """Drop the request's windows from the queue and from the engine."""
        with self._changed:
            self._waiting.clear(request)
            inside = [window for window, owner in self._inside.items() if owner is request]
            for window in inside:
                del self._inside[window]
            self._dropped += inside
            self._changed.notify()

    def leave(self, request: ScheduledRequest) -> None:
        self.forget(request)
        self._requests.discard(request)
        if not request.is_job and not request.is_live:
            self._retries.note_request(request.most_seconds)

    def _deliver(self, results: list[tuple[ScheduledRequest, WindowResult]]) -> None:
        for request, result in results:
            request.finish(result)

    def end(self, reason: str) -> None:
        """Fail all requests, because the engine has ended."""
        self.failure = self.failure or reason
        self._metrics.engine_up.set(0)
        for request in list(self._requests):
            request.fail(EngineDead(f"the engine has ended: {self.failure}"))

    # --- what the engine's thread does ---

    def _serve(self) -> None:
        try:
            while self._advance():
                pass
        except BaseException as error:  # whatever ended the engine, every request is answered
            log.critical("the engine has ended", exc_info=error)
            reason = f"{type(error).__name__}: {error}"
            self._call_loop(self.end, reason)

    def _advance(self) -> bool:
        """Run one engine step; return False when it is time to stop."""
        with self._changed:
            has_work = self._changed.wait_for(self._has_work, 0 if self._may_prepare else None)
            if self._stopping:
                return False
            dropped, self._dropped = self._dropped, []
        if not has_work:
            self._may_prepare = self._engine.prepare()
            return True
        for window in dropped:
            self._engine.drop(window)
        admitted = self._take(self._engine.free(), self._engine.free(True))
        started = time.monotonic()
        results = self._engine.step(admitted)
        self._may_prepare = True
        self._note_work(results, time.monotonic() - started)
        self._call_loop(self._deliver, self._collect(results))
        return True

    def _note_work(self, results: list[WindowResult], seconds: float) -> None:
        """Count work, but that for live windows alone: nobody who is refused waits for them."""
        with self._changed:
            others = {window for window, request in self._inside.items() if not request.is_live}
        if others:
            finals = (each.window for each in results if each.is_final and each.window in others)
            self._retries.note_work(sum(window.seconds for window in finals), seconds)

    def _has_work(self) -> bool:
        return bool(self._stopping or self._waiting or self._inside or self._dropped)

    def _take(self, count: int, with_live: int) -> list[Window]:
        """At most `count` windows in turn, and live ones until there are `with_live` in all."""
        with self._changed:
            taken = self._waiting.take(count, with_live, self._inside.values())
            self._inside |= {pending.window: request for request, pending in taken}
            return [pending.window for _, pending in taken]

    def _collect(self, results: list[WindowResult]) -> list[tuple[ScheduledRequest, WindowResult]]:
        """Pair results with their requests; windows that the engine has lost are an error."""
        answered = []
        with self._changed:
            for result in results:
                request = self._inside.get(result.window)
                if request is None:
                    continue  # dropped meanwhile
                if result.error is not None:
                    self.forget(request)
                elif result.is_final:
                    del self._inside[result.window]
                answered.append((request, result))
            if self._inside and self._engine.held() == 0:
                raise RuntimeError(f"the engine gave no result for {len(self._inside)} windows")
            self._metrics.engine_windows.set(len(self._inside))
        return answered

    def _call_loop(self, function: object, *arguments: object) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(function, *arguments)  # type: ignore[arg-type]
        except RuntimeError:  # the loop has closed: nobody waits any more
            log.debug("the event loop has closed")
