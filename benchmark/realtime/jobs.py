"""Keeps jobs running beside live sessions, and measures what they get done."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp

from benchmark.demo_jobs import recording

MINUTES = 20.0  # A job has so many minutes of speech, the demo model's samples in a row.
START_SECONDS = 60.0  # Jobs of which none has begun after so many seconds have failed.
LOOK_SECONDS = 0.2  # Whether one has begun is looked at so often.


class NoJobs(Exception):
    """The server takes no jobs, or has begun none of them."""


@contextlib.asynccontextmanager
async def running(client: aiohttp.ClientSession, count: int) -> AsyncIterator[Callable[[], Any]]:
    """Submit so many jobs, wait until one runs, and cancel them all at the end.

    Yields:
        A function that returns, as a coroutine, how many seconds of audio they do in a second.

    Raises:
        NoJobs: none runs.
    """
    data = await asyncio.to_thread(recording, MINUTES)
    ids = [(await _asked(client, "POST", "/jobs", data))["id"] for _ in range(count)]
    try:
        await _begun(client)
        before, started = await _done(client, ids), time.monotonic()

        async def pace() -> float:
            return (await _done(client, ids) - before) / (time.monotonic() - started)

        yield pace
    finally:
        for job in ids:
            await _asked(client, "DELETE", f"/jobs/{job}")


async def _begun(client: aiohttp.ClientSession) -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        if (await _asked(client, "GET", "/jobs?state=running"))["jobs"]:
            return
        await asyncio.sleep(LOOK_SECONDS)
    raise NoJobs(f"no job has begun within {START_SECONDS:g} s")


async def _done(client: aiohttp.ClientSession, ids: list[str]) -> float:
    """Seconds of audio that the jobs have done."""
    jobs = [await _asked(client, "GET", f"/jobs/{job}") for job in ids]
    return sum(float(job["progress"]["done"]) for job in jobs)


async def _asked(
    client: aiohttp.ClientSession, method: str, path: str, data: bytes | None = None
) -> dict[str, Any]:
    async with client.request(method, path, data=data) as answer:
        if answer.status >= 400:
            raise NoJobs(f"{method} {path} was answered {answer.status}: {await answer.text()}")
        found: dict[str, Any] = await answer.json()
        return found
