"""Measure how long one thing at a time holds the event loop of a server process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass

from aiohttp import web

BEAT_SECONDS = 0.001  # The loop is asked to run the monitor so often.
PATH = "/longest-hold"  # Answers what was measured since it was asked before.


@dataclass
class Longest:
    """The longest time for which the loop ran something else, in seconds."""

    late: float = 0.0  # by the clock; a busy machine makes it longer
    held: float = 0.0  # without what the machine's other work took


class WaitForProcessor:
    """Tells how long a thread of this process was ready to run and had no processor.

    The second figure of its `schedstat` (Linux, Documentation/scheduler/sched-stats.rst).
    """

    def __init__(self) -> None:
        path = f"/proc/self/task/{threading.get_native_id()}/schedstat"
        self._file = os.open(path, os.O_RDONLY)

    def seconds(self) -> float:
        return int(os.pread(self._file, 100, 0).split()[1]) / 1e9

    def close(self) -> None:
        os.close(self._file)


async def _watch(longest: Longest) -> None:
    """Measure until cancelled.

    The loop is held while it computes and while it waits for the GIL of a thread that does. So
    neither its wait for a processor counts, nor what the process did not compute.
    """
    with contextlib.closing(WaitForProcessor()) as wait:
        while True:
            await _beat(longest, wait)


async def _beat(longest: Longest, wait: WaitForProcessor) -> None:
    began, computed, waited = time.monotonic(), time.process_time(), wait.seconds()
    await asyncio.sleep(BEAT_SECONDS)
    late = time.monotonic() - began - BEAT_SECONDS
    held = min(late - (wait.seconds() - waited), time.process_time() - computed)
    longest.late, longest.held = max(longest.late, late), max(longest.held, held)


def add_monitor(app: web.Application) -> None:
    """Let `app` measure its loop, and tell the result at PATH."""
    longest = Longest()

    async def answer(_: web.Request) -> web.Response:
        told = asdict(longest)
        longest.late = longest.held = 0.0
        return web.json_response(told)

    async def watched(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(_watch(longest))
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    app.router.add_get(PATH, answer)
    app.cleanup_ctx.append(watched)
