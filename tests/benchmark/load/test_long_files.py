"""Clips beside long files: what is counted, and when the goal is missed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from benchmark.load import long_files
from benchmark.load.long_files import Measured


def measured(files: int, seconds: float = 1.0, **others: Any) -> Measured:
    return Measured(files, [200] * 3, [seconds] * 3, 900.0, 960.0, **others)


@pytest.mark.parametrize(
    ("many", "reached"),
    [
        (measured(10, 2.9), True),
        (measured(10, 3.1), False),
        (Measured(10, [200, 429], [1.0], 900.0, 960.0), False),
        (Measured(10, [200], [1.0], 961.0, 960.0), False),
        (measured(10, ended=1), False),
    ],
)
def test_the_goal_is_missed_by_a_late_or_refused_clip_a_passed_limit_or_a_file_that_ends(
    many: Measured, reached: bool
) -> None:
    assert long_files.reached(measured(1), many) == reached
    assert ("met" if reached else "MISSED") in long_files.table([measured(1), many])


async def test_clips_and_the_highest_queue_are_counted_while_the_files_run(
    aiohttp_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_files, "FILL_S", 0.0)
    monkeypatch.setattr(long_files, "LOOK_S", 0.0)
    looked, clips = asyncio.Event(), 0

    async def asr(request: web.Request) -> web.Response:
        nonlocal clips
        if request.content_type == "application/json":
            await asyncio.Event().wait()  # a long file outlasts the clips
        await looked.wait()
        clips += 1
        return web.Response(status=429 if clips == 2 else 200)

    async def metrics(_: web.Request) -> web.Response:
        looked.set()
        return web.Response(text="asr_queue_audio_seconds 21.5\nasr_engine_capacity_windows 2.0\n")

    app = web.Application()
    app.router.add_post("/asr", asr)
    app.router.add_get("/metrics", metrics)
    server = await aiohttp_server(app)
    result = Measured(2)
    await long_files.measure(str(server.make_url("/")), b"clip", 5, 1, result)
    assert result.statuses == [200, 429, 200, 200, 200]
    assert len(result.seconds) == 4
    assert (result.highest, result.limit, result.ended) == (21.5, 960.0, 0)
