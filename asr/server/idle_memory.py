"""Gives memory that requests have freed back to the system, once the server is idle."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from asr.concurrency import Outage, end_tasks
from asr.http.app_keys import MEMORY
from asr.resources.freed_memory import trim_function
from asr.resources.memory_budget import BodyMemory

log = logging.getLogger(__name__)

# A server counts as idle after so many seconds without a request. After 3,460 s of audio at once a
# server of 258 MiB kept 400 MiB for good; glibc's malloc_trim gives all of that back.
IDLE_SECONDS = 5


async def give_back_when_idle(app: web.Application) -> AsyncIterator[None]:
    """Watch for idle moments as long as the app runs."""
    watcher = asyncio.create_task(_watch(IdleMoments(app[MEMORY]), trim_function()))
    yield
    await end_tasks(watcher)


async def _watch(moments: IdleMoments, trim: Callable[[int], object]) -> None:
    outage = Outage(log, "memory is not given back", "memory is given back again")
    while True:
        await asyncio.sleep(IDLE_SECONDS)
        with outage.survived("giving memory back"):
            if moments.has_come():
                await asyncio.to_thread(trim, 0)


class IdleMoments:
    """Knows when requests have freed memory that nobody uses again at once."""

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self._seen = 0  # requests, when last looked at
        self._used = 0  # requests whose memory has gone back

    def has_come(self) -> bool:
        """Whether no request has come since the last look, the first time after some did."""
        requests = self._memory.reservations
        is_quiet = self._memory.held == self._memory.lasting and requests == self._seen
        self._seen = requests
        if not is_quiet or requests == self._used:
            return False
        self._used = requests
        return True
