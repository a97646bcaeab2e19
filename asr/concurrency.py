"""Work off the event loop, in a few threads that hand in their results a few at a time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


class ThreadPool:
    """Threads of one purpose.

    No more work is begun than they can do, and one piece that waits: what ends at once is one turn
    of the loop, and everyone else waits for the end of it.
    """

    def __init__(self, count: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._turns = asyncio.Semaphore(count + 1)

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def run(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Run off the loop; who is cancelled waits until the thread has let go of what it has."""
        async with self._turns:
            loop = asyncio.get_running_loop()
            future = loop.run_in_executor(self._executor, function, *arguments)
            try:
                return await asyncio.shield(future)
            except asyncio.CancelledError:
                await asyncio.wait([future])
                raise


class WaitBudget:
    """Seconds that all waits for bytes together may last; time spent on other work is free."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds

    @contextlib.asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """Raises `TimeoutError` in the block once nothing is left."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, self._left)):
                yield
        finally:
            self._left -= time.monotonic() - started
