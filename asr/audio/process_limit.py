"""Limits how many ffmpeg processes run at once, and for how many uploads that still arrive."""

from __future__ import annotations

import asyncio
import logging

from asr.audio.buffer import StreamBuffer
from asr.audio.ffmpeg_process import DESCRIPTORS
from asr.concurrency import end_tasks
from asr.resources.exhaustion import max_descriptors

log = logging.getLogger(__name__)


class ProcessLimit:
    """Gives out `slots`, one for each process.

    At most half of them are for sources that still arrive, so that slow uploads leave some for
    others. With few descriptors there are fewer than `count`.
    """

    def __init__(self, count: int) -> None:
        count = affordable(count)
        self.slots = asyncio.Semaphore(count)
        self._arriving = asyncio.Semaphore(max(1, count // 2))

    async def turn(self, buffer: StreamBuffer) -> None:
        """Wait until few sources still arrive, or this one is here.

        Raises:
            Exception: what the source raises meanwhile.
        """
        turn, full = (
            asyncio.ensure_future(wait) for wait in (self._turn(buffer), buffer.wait_until_full())
        )
        try:
            await asyncio.wait({turn, full}, return_when=asyncio.FIRST_COMPLETED)
            if full.done():
                full.result()
        finally:
            await end_tasks(turn, full)

    async def _turn(self, buffer: StreamBuffer) -> None:
        await self._arriving.acquire()
        buffer.when_filled(self._arriving.release)


def affordable(count: int) -> int:
    """As many of `count` processes as half of the descriptors are enough for; at least one."""
    descriptors = max_descriptors()
    most = max(1, descriptors // 2 // DESCRIPTORS)
    if most < count:
        log.warning(
            "DECODERS=%d needs more open files than the %d that `ulimit -n` allows: at most %d "
            "ffmpeg processes run at once",
            count,
            descriptors,
            most,
        )
    return min(count, most)
