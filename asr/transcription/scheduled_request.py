"""A request in the scheduler's queue, its windows in the engine, and its timings."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from asr.engines.engine import Window, WindowResult
from asr.errors import AsrError, TranscriptionFailed
from asr.transcript import LanguageDetection

MIN_SECONDS = 1.0  # A request without a window counts for at least this many seconds.


class Queue(Protocol):
    """What a request needs of the scheduler."""

    windows_per_request: int

    @property
    def is_idle(self) -> bool: ...

    def enqueue(self, request: ScheduledRequest, pending: ScheduledWindow) -> None: ...

    def forget(self, request: ScheduledRequest) -> None: ...

    def enter(self, request: ScheduledRequest) -> None: ...

    def leave(self, request: ScheduledRequest) -> None: ...


@dataclass(eq=False)
class ScheduledWindow:
    """A window on its way through the engine."""

    window: Window
    detection: asyncio.Future[LanguageDetection]  # known as early as the engine can say it
    result: asyncio.Future[WindowResult]
    submitted_at: float = field(default_factory=time.monotonic)
    admitted_at: float = math.inf  # into the engine
    finished_at: float = math.inf
    leads: bool = False  # its request, into an engine with nothing else to do

    def finish(self, result: WindowResult) -> None:
        self.finished_at = time.monotonic()
        if not self.detection.done():
            self.detection.set_result(result.detection)
        if not self.result.done():
            self.result.set_result(result)

    def fail(self, error: BaseException) -> None:
        for future in (self.detection, self.result):
            if not future.done():
                future.set_exception(error)
                future.exception()  # marked as seen: not every caller waits for every window


class ScheduledRequest:
    """One request's place in the queue; leaving it drops what is unfinished."""

    def __init__(self, scheduler: Queue) -> None:
        self._scheduler = scheduler
        self._unfinished: dict[Window, ScheduledWindow] = {}
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._held = 0.0  # seconds that are decoded and not yet a window
        self._has_entered = False
        self._failure: BaseException | None = None
        self.waiting: deque[ScheduledWindow] = deque()  # guarded by the scheduler's lock

    def __enter__(self) -> ScheduledRequest:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._scheduler.leave(self)

    @property
    def seconds(self) -> float:
        """Seconds of audio that are decoded and not transcribed yet."""
        submitted = sum(window.seconds for window in self._unfinished)
        return self._held + submitted if self._has_entered else max(self._held, MIN_SECONDS)

    @property
    def unfinished(self) -> list[ScheduledWindow]:
        return list(self._unfinished.values())

    async def room(self) -> None:
        """Wait until this request may submit another window."""
        await self._has_room.wait()

    def hold(self, seconds: float) -> None:
        """Set how many seconds of audio are decoded and not submitted yet."""
        self._held = seconds

    def submit(self, window: Window) -> ScheduledWindow:
        """Queue `window`; its futures are answered, whatever happens.

        Raises:
            QueueFull: it is the first one, and others have filled the queue since `admit`.
        """
        loop = asyncio.get_running_loop()
        pending = ScheduledWindow(window, loop.create_future(), loop.create_future())
        if self._failure is not None:
            pending.fail(self._failure)
            return pending
        if not self._has_entered:
            self._scheduler.enter(self)
            self._has_entered = True
            pending.leads = self._scheduler.is_idle
        self._unfinished[window] = pending
        self._scheduler.enqueue(self, pending)
        self._update_room()
        return pending

    def skip(self, window: Window) -> ScheduledWindow:
        """A window with an empty result, because it is silent and needs no engine."""
        loop = asyncio.get_running_loop()
        pending = ScheduledWindow(window, loop.create_future(), loop.create_future())
        pending.admitted_at = pending.submitted_at
        pending.finish(WindowResult(window))
        return pending

    def complete(self) -> None:
        """Mark the request as complete: no window will follow."""
        self.hold(0.0)

    def finish(self, result: WindowResult) -> None:
        """Answer the window of `result`; if it failed, the whole request fails."""
        pending = self._unfinished.get(result.window)
        if pending is None:
            return
        if result.error is not None:
            self.fail(_as_ours(result.error))
        elif result.is_final:
            del self._unfinished[result.window]
            pending.finish(result)
            self._update_room()
        elif not pending.detection.done():
            pending.detection.set_result(result.detection)

    def fail(self, error: BaseException) -> None:
        """Answer every window of the request with `error` and drop what is unfinished."""
        self._failure = self._failure or error
        unfinished = self.unfinished
        self._scheduler.forget(self)
        self._unfinished.clear()
        for pending in unfinished:
            pending.fail(error)
        self._update_room()

    def _update_room(self) -> None:
        if len(self._unfinished) < self._scheduler.windows_per_request:
            self._has_room.set()
        else:
            self._has_room.clear()


def _as_ours(error: Exception) -> AsrError:
    if isinstance(error, AsrError):
        return error
    failure = TranscriptionFailed(f"the model failed on this audio: {type(error).__name__}")
    failure.__cause__ = error
    return failure


@dataclass
class Timings:
    """Where a request's time went, in seconds."""

    fetch: float = 0.0  # waiting for bytes of the body or the URL
    decode: float = 0.0  # until the last window was cut, less the waiting for bytes and room
    queue: float = 0.0  # from the first window's submission until the engine took it
    model: float = 0.0  # from then until the last window was transcribed
    audio: float = 0.0  # seconds of audio decoded
    taken_at: float | None = None  # when the engine took the first window

    def record(self, scheduled: ScheduledWindow) -> None:
        """Add the times of a window that is finished."""
        if self.taken_at is None:
            self.taken_at = scheduled.admitted_at
            self.queue = scheduled.admitted_at - scheduled.submitted_at
        self.model = max(self.model, scheduled.finished_at - self.taken_at)
