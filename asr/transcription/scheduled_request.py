"""A request in the scheduler's queue, its windows in the engine, and its timings."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from asr.engines.engine import Window, WindowResult
from asr.errors import AsrError, QueueFull, TranscriptionFailed
from asr.pcm import SAMPLE_RATE
from asr.transcription.admission.ledger import AudioAccount
from asr.transcription.admission.scheduled_window import ScheduledWindow

UNREAD = 2  # Of the windows on their way, so many times as many may be transcribed and unread.


class Queue(Protocol):
    """What a request needs of the scheduler."""

    @property
    def is_idle(self) -> bool: ...

    def windows_ahead(self, is_job: bool) -> int: ...

    def enqueue(self, request: ScheduledRequest, pending: ScheduledWindow) -> None: ...

    def replace(
        self, request: ScheduledRequest, pending: ScheduledWindow, window: Window
    ) -> bool: ...

    def forget(self, request: ScheduledRequest) -> None: ...

    def leave(self, request: ScheduledRequest) -> None: ...

    def has_others(self, request: ScheduledRequest) -> bool: ...

    def refusal(self, is_long: bool = False) -> QueueFull: ...


class ScheduledRequest:
    """One request's place in the queue; leaving it drops what is unfinished.

    What is decoded is held, then a window is cut from it, submitted or skipped, and at last its
    result is taken; until then its samples count.
    """

    def __init__(
        self,
        scheduler: Queue,
        account: AudioAccount,
        is_job: bool = False,
        is_live: bool = False,
    ) -> None:
        self.is_job = is_job
        self.is_live = is_live
        self.is_urgent = is_live  # It goes before all others, because somebody is speaking.
        self.is_diarized = False  # whether it waits for the diarizer, too
        self._scheduler = scheduler
        self._account = account
        self._unfinished: dict[Window, ScheduledWindow] = {}
        self._uncut = 0  # samples that are decoded and in no window yet
        self._untaken: list[int] = []  # samples of each window whose result is not taken yet
        self._lagging = 0  # samples that the diarizer has still to work on
        self._has_submitted = False
        self._failure: BaseException | None = None
        self.waiting: deque[ScheduledWindow] = deque()  # guarded by the scheduler's lock
        self.attained = 0.0  # seconds of audio that the engine took, guarded by the same

    def __enter__(self) -> ScheduledRequest:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._account.close()
        self._scheduler.leave(self)

    @property
    def most_seconds(self) -> float:
        """Seconds of audio that the request held at most."""
        return self._account.most / SAMPLE_RATE

    @property
    def unfinished(self) -> list[ScheduledWindow]:
        return list(self._unfinished.values())

    @property
    def has_company(self) -> bool:
        """Whether the engine works for others now, who do not wait for the diarizer."""
        return self._scheduler.has_others(self)

    async def room(self, samples: int) -> None:
        """Wait until `samples` more may be decoded; only a long request ever waits.

        Raises:
            AsrError: the request has failed meanwhile.
        """
        while self._failure is None:
            self._account.changed.clear()
            if self._account.set_aside(samples, self._may_go_ahead()):
                return
            await self._account.changed.wait()
        raise self._failure

    def hold(self, samples: int) -> None:
        """Set how many samples are decoded and in no window yet.

        Raises:
            QueueFull: others have filled the queue since `admit`.
        """
        self._count(samples, self._lagging)

    def lag(self, samples: int) -> None:
        """Set how many samples wait for the diarizer.

        Raises:
            QueueFull: others have filled the queue since `admit`.
        """
        self._count(self._uncut, samples)
        self._account.changed.set()

    def lengthen(self, working_set: int) -> None:
        """Count the request as a long one, which always has room for `working_set` samples.

        Raises:
            QueueFull: there are too many of them.
        """
        if not self._account.lengthen(working_set):
            raise self._scheduler.refusal(is_long=True)

    def cut(self, window: Window, uncut: int) -> None:
        """Count the samples of `window`, and those that are `uncut` after it."""
        self._untaken.append(len(window.samples))
        self.hold(uncut)

    def take(self, result: WindowResult) -> None:
        """Count the window of `result` no more: the next reader in line is done with it."""
        self._untaken.remove(len(result.window.samples))
        self._count(self._uncut, self._lagging)
        self._account.changed.set()

    def submit(self, window: Window) -> ScheduledWindow:
        """Queue `window`; its futures are answered, whatever happens."""
        loop = asyncio.get_running_loop()
        pending = ScheduledWindow(window, loop.create_future(), loop.create_future())
        if self._failure is not None:
            pending.fail(self._failure)
            return pending
        if not self._has_submitted:
            self._has_submitted = True
            pending.leads = self._scheduler.is_idle
        self._unfinished[window] = pending
        self._scheduler.enqueue(self, pending)
        return pending

    def replace(self, pending: ScheduledWindow, window: Window) -> bool:
        """Let `window` have the place in the queue, and the answers, of one that still waits.

        Returns:
            False where that waits no more: the engine has it, it was answered, or it has failed.
        """
        before = pending.window
        if not self._scheduler.replace(self, pending, window):
            return False
        del self._unfinished[before]
        self._unfinished[window] = pending
        return True

    def skip(self, window: Window) -> ScheduledWindow:
        """A window with an empty result, because it is silent and needs no engine."""
        loop = asyncio.get_running_loop()
        pending = ScheduledWindow(window, loop.create_future(), loop.create_future())
        pending.admitted_at = pending.submitted_at
        pending.finish(WindowResult(window))
        return pending

    def complete(self) -> None:
        """Mark the request as complete: no window will follow."""
        self._count(0, self._lagging)
        self._account.complete()

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
            self._account.changed.set()
        else:
            pending.update(result)

    def fail(self, error: BaseException) -> None:
        """Answer every window of the request with `error` and drop what is unfinished."""
        self._failure = self._failure or error
        unfinished = self.unfinished
        self._scheduler.forget(self)
        self._unfinished.clear()
        for pending in unfinished:
            pending.fail(error)
        self._account.changed.set()

    def _may_go_ahead(self) -> bool:
        """Whether the request has less on its way than its share of the engine."""
        most = self._scheduler.windows_ahead(self.is_job)
        return len(self._unfinished) < most and len(self._untaken) < UNREAD * most

    def _count(self, uncut: int, lagging: int) -> None:
        """Count so many samples; those that are refused are not counted."""
        if not self._account.hold(uncut + sum(self._untaken) + lagging):
            raise self._scheduler.refusal()
        self._uncut, self._lagging = uncut, lagging


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
    declared: float | None = None  # seconds of audio, by the file's own header
    taken_at: float | None = None  # when the engine took the first window
    windows: int = 0  # that are cut so far
    done: float = 0.0  # seconds of audio, from its start, that are transcribed
    diarized: float | None = None  # likewise, whose speakers are told apart; None: nobody asked
    diarization: float = 0.0  # waiting for the diarizer after the last window

    def record(self, scheduled: ScheduledWindow) -> None:
        """Add the times of a window that is finished."""
        if self.taken_at is None:
            self.taken_at = scheduled.admitted_at
            self.queue = scheduled.admitted_at - scheduled.submitted_at
        self.model = max(self.model, scheduled.finished_at - self.taken_at)
        self.done = max(self.done, scheduled.window.end)
