"""Windows of all callers into engine steps: admission, fairness, cancellation, the one thread."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque

from asr.engines.engine import Engine, Window, WindowResult
from asr.errors import EngineDead, QueueFull
from asr.metrics import Metrics
from asr.transcription.scheduled_request import ScheduledRequest, ScheduledWindow

log = logging.getLogger(__name__)

FULL_SECONDS = 30.0  # of the longest windows of most models
QUEUED_ENGINES = 16  # of full windows that may wait, where no setting says otherwise
RATE_MEMORY = 0.9  # weight of the past in the measured pace
STOP_SECONDS = 1  # that the step in hand is given when the process ends: nobody waits for it then
LONGEST_WAIT = 60  # seconds that Retry-After says at most


class Scheduler:
    """Feeds the engine from one thread; everything else of it lives in the event loop."""

    def __init__(self, engine: Engine, max_queue_seconds: float | None, metrics: Metrics) -> None:
        capacity = engine.capacity
        self._engine = engine
        self._max_queue_seconds = max_queue_seconds or QUEUED_ENGINES * capacity * FULL_SECONDS
        self._metrics = metrics
        self._changed = threading.Condition()
        self._turns: deque[ScheduledRequest] = deque()  # requests with waiting windows, next first
        self._inside: dict[Window, ScheduledRequest] = {}  # windows that the engine holds
        self._dropped: list[Window] = []
        self._stopping = False
        self._may_prepare = True  # the engine may have work for idle moments
        self._tickets: set[ScheduledRequest] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._serve, name="engine", daemon=True)
        self._pace: float | None = None  # audio seconds per second of the engine's work
        affordable = int(self._max_queue_seconds / 4 / FULL_SECONDS)
        self.windows_per_request = max(2, min(2 * capacity, affordable))
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

    def admit(self) -> ScheduledRequest:
        """Let a request bring its audio; while that is under way it counts for next to nothing.

        Raises:
            QueueFull: too much audio is waiting already.
            EngineDead: there is nothing left to wait for.
        """
        if self.failure is not None:
            raise EngineDead(f"the engine has ended: {self.failure}")
        self._refuse_if_full(self.queue_seconds)
        ticket = ScheduledRequest(self)
        self._tickets.add(ticket)
        return ticket

    def enter(self, ticket: ScheduledRequest) -> None:
        """Give a request its place in the queue, now that it has audio for it.

        Raises:
            QueueFull: too much audio of others has come meanwhile.
        """
        self._refuse_if_full(self.queue_seconds - ticket.seconds)

    @property
    def queue_seconds(self) -> float:
        return sum(ticket.seconds for ticket in self._tickets)

    @property
    def is_idle(self) -> bool:
        """Whether the engine would begin at once with what is submitted."""
        return not self._turns and not self._inside

    def enqueue(self, ticket: ScheduledRequest, pending: ScheduledWindow) -> None:
        with self._changed:
            if not ticket.waiting:
                self._turns.append(ticket)
            ticket.waiting.append(pending)
            self._changed.notify()

    def forget(self, ticket: ScheduledRequest) -> None:
        """Drop the request's windows from the queue and from the engine."""
        with self._changed:
            if ticket.waiting:
                ticket.waiting.clear()
                self._turns.remove(ticket)
            inside = [window for window, owner in self._inside.items() if owner is ticket]
            for window in inside:
                del self._inside[window]
            self._dropped += inside
            self._changed.notify()

    def leave(self, ticket: ScheduledRequest) -> None:
        self.forget(ticket)
        self._tickets.discard(ticket)

    def _refuse_if_full(self, queued: float) -> None:
        if queued < self._max_queue_seconds:
            return
        wait = self._wait_seconds(queued)
        raise QueueFull(
            f"{queued:.0f} s of audio are waiting, the limit is "
            f"MAX_QUEUE_SECONDS={self._max_queue_seconds:g}: try again in {wait} s",
            retry_after=wait,
        )

    def _wait_seconds(self, queued: float) -> int:
        if self._pace is None:
            return 5
        surplus = queued - self._max_queue_seconds + FULL_SECONDS
        return min(LONGEST_WAIT, max(1, math.ceil(surplus / self._pace)))

    def _deliver(self, results: list[tuple[ScheduledRequest, WindowResult]]) -> None:
        for ticket, result in results:
            ticket.finish(result)

    def end(self, reason: str) -> None:
        """Answer everyone: nothing will be transcribed any more."""
        self.failure = self.failure or reason
        self._metrics.engine_up.set(0)
        for ticket in list(self._tickets):
            ticket.fail(EngineDead(f"the engine has ended: {self.failure}"))

    # --- what the engine's thread does ---

    def _serve(self) -> None:
        try:
            while self._advance():
                pass
        except BaseException as error:  # whatever ended the engine, everyone is told
            log.critical("the engine has ended", exc_info=error)
            reason = f"{type(error).__name__}: {error}"
            self._call_loop(self.end, reason)

    def _advance(self) -> bool:
        """One engine step; False when it is time to stop."""
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
        admitted = self._take(self._engine.free())
        started = time.monotonic()
        results = self._engine.step(admitted)
        self._may_prepare = True
        self._measure(results, time.monotonic() - started)
        self._call_loop(self._deliver, self._collect(results))
        return True

    def _has_work(self) -> bool:
        return bool(self._stopping or self._turns or self._inside or self._dropped)

    def _take(self, count: int) -> list[Window]:
        """At most `count` windows, one from each request in turn."""
        taken: list[Window] = []
        now = time.monotonic()
        with self._changed:
            while len(taken) < count and self._turns:
                ticket = self._turns.popleft()
                pending = ticket.waiting.popleft()
                if ticket.waiting:
                    self._turns.append(ticket)
                pending.admitted_at = now
                self._inside[pending.window] = ticket
                taken.append(pending.window)
        return taken

    def _collect(self, results: list[WindowResult]) -> list[tuple[ScheduledRequest, WindowResult]]:
        """Pair results with their requests; windows that the engine has lost are an error."""
        answered = []
        with self._changed:
            for result in results:
                ticket = self._inside.get(result.window)
                if ticket is None:
                    continue  # dropped meanwhile
                if result.error is not None:
                    self.forget(ticket)
                elif result.is_final:
                    del self._inside[result.window]
                answered.append((ticket, result))
            if self._inside and self._engine.held() == 0:
                raise RuntimeError(f"the engine lost {len(self._inside)} windows")
            self._metrics.engine_windows.set(len(self._inside))
        return answered

    def _measure(self, results: list[WindowResult], seconds: float) -> None:
        heard = sum(result.window.seconds for result in results if result.is_final)
        if not heard or not seconds:
            return
        pace = heard / seconds
        past = self._pace if self._pace is not None else pace
        self._pace = RATE_MEMORY * past + (1 - RATE_MEMORY) * pace

    def _call_loop(self, function: object, *arguments: object) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(function, *arguments)  # type: ignore[arg-type]
        except RuntimeError:  # the loop has closed: nobody waits any more
            log.debug("the event loop has closed")
