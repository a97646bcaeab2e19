"""Looks up host names in threads of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import aiohttp

Result = TypeVar("Result")

THREADS = 16  # So many names are looked up at once; others wait.


class Lookups:
    """Threads in which names are looked up, apart from those of the event loop.

    A name whose servers do not answer holds a thread for many seconds, and nothing can end it.
    The loop's own few threads also read and write the JSON of every request.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "lookups")

    def resolver(self) -> aiohttp.ThreadedResolver:
        """A resolver that uses these threads; it calls nothing else of an event loop."""
        return aiohttp.ThreadedResolver(cast(asyncio.AbstractEventLoop, self))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def getaddrinfo(self, host: str, port: int, **how: int) -> list[Any]:
        return await self._run(lambda: socket.getaddrinfo(host, port, **how))

    async def getnameinfo(self, address: tuple[Any, ...], flags: int) -> tuple[str, str]:
        return await self._run(lambda: socket.getnameinfo(address, flags))

    async def _run(self, call: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)
