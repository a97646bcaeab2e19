"""Measure how long one thing at a time holds the event loop of a server process."""

from __future__ import annotations

import asyncio
import contextlib
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
    held: float = 0.0  # by the processor time that the process used in it, in all its threads


async def _watch(longest: Longest) -> None:
    while True:
        began, computed = time.monotonic(), time.process_time()
        await asyncio.sleep(BEAT_SECONDS)
        late = time.monotonic() - began - BEAT_SECONDS
        held = min(late, time.process_time() - computed)
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
