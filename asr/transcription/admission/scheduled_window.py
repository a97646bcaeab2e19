"""A window on its way through the engine, and who waits for it."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field

from asr.engines.engine import Window, WindowResult
from asr.transcript import LanguageDetection


@dataclass(eq=False)
class ScheduledWindow:
    """A window on its way through the engine."""

    window: Window
    detection: asyncio.Future[LanguageDetection]  # known as early as the engine can say it
    result: asyncio.Future[WindowResult]
    early: WindowResult | None = None  # with the segments that are known so far and stay
    has_words: asyncio.Event = field(default_factory=asyncio.Event)  # or it has ended
    _news: asyncio.Event = field(default_factory=asyncio.Event)  # nobody has seen them yet
    submitted_at: float = field(default_factory=time.monotonic)
    admitted_at: float = math.inf  # into the engine
    finished_at: float = math.inf
    leads: bool = False  # its request, into an engine with nothing else to do

    async def news(self) -> WindowResult:
        """Wait for more segments that stay, or for the result; for one reader.

        Raises:
            AsrError: the window has failed.
        """
        await self._news.wait()
        self._news.clear()
        if self.result.done():
            return self.result.result()
        assert self.early is not None
        return self.early

    def update(self, result: WindowResult) -> None:
        """Take what is known before the result is."""
        if not self.detection.done():
            self.detection.set_result(result.detection)
        if result.segments:
            self.early = result
            self._notify()

    def finish(self, result: WindowResult) -> None:
        self.finished_at = time.monotonic()
        if not self.detection.done():
            self.detection.set_result(result.detection)
        if not self.result.done():
            self.result.set_result(result)
        self._notify()

    def fail(self, error: BaseException) -> None:
        for future in (self.detection, self.result):
            if not future.done():
                future.set_exception(error)
                future.exception()  # marked as seen: not every caller waits for every window
        self._notify()

    def _notify(self) -> None:
        self.has_words.set()
        self._news.set()
