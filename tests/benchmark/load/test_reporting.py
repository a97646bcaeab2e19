"""The figures: in the table, and sent elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from benchmark.load import reporting
from benchmark.load.level import Answer, Level
from tests.benchmark.conftest import measured, squeezed


async def test_failures_are_counted_by_status_and_named_in_the_table(
    start: Callable[..., Any], audio: Path
) -> None:
    broken = audio / "broken.mp3"
    broken.write_bytes(b"this is not audio" * 100)
    arguments = ("--audio", audio, "--concurrency", 2, "--requests", 6)
    levels = await measured(await start(), *arguments)
    assert levels[0].failures == {"400": 2}
    assert levels[0].audio_seconds == pytest.approx(4.0)
    assert levels[0].failed
    table = reporting.table(levels)
    assert "2 (400: 2)" in table
    assert '400 with 2 at once, first: {"error": ' in table


async def test_each_level_is_reported_with_the_key(
    start: Callable[..., Any], aiohttp_server: Any, audio: Path
) -> None:
    reports: list[tuple[str, str, dict[str, Any]]] = []

    async def receive(request: web.Request) -> web.Response:
        reports.append((request.path, request.headers["Benchmark-Key"], await request.json()))
        return web.Response(status=201)

    environment = {
        "REPORTING_API_URL": await _receiver(aiohttp_server, receive),
        "REPORTING_AUTH_HEADER": "Benchmark-Key",
        "REPORTING_API_KEY": "secret",
        "BENCHMARK_ID": "night-7",
        "AUDIO_DIR": str(audio),
    }
    arguments = ("--concurrency", "1,2", "--requests", 2)
    await measured(await start(), *arguments, environment=environment)
    assert [(path, key) for path, key, _ in reports] == [("/reports/night-7", "secret")] * 2
    assert [body["concurrency"] for _, _, body in reports] == [1, 2]
    assert all(body["benchmark_id"] == "night-7" and body["words"] for _, _, body in reports)


@pytest.mark.parametrize("status", [500, None], ids=["refused", "unreachable"])
async def test_a_report_that_fails_is_a_warning(
    start: Callable[..., Any],
    aiohttp_server: Any,
    audio: Path,
    caplog: pytest.LogCaptureFixture,
    status: int | None,
) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=status or 200)

    where = await _receiver(aiohttp_server, refuse) if status else "http://127.0.0.1:1/reports"
    arguments = ("--audio", audio, "--concurrency", 1, "--requests", 1)
    levels = await measured(await start(), *arguments, environment={"REPORTING_API_URL": where})
    assert not levels[0].failed
    assert "the report to" in caplog.text


def test_a_level_without_answers_has_dashes_for_figures() -> None:
    empty = reporting.figures(Level(1, answers=[Answer(math.nan, failure="timeout")]))
    assert "| latency p50, s | - |" in squeezed(reporting.table([empty]))


async def _receiver(aiohttp_server: Any, receive: Callable[[web.Request], Any]) -> str:
    app = web.Application()
    app.router.add_post("/reports{rest:.*}", receive)
    return str((await aiohttp_server(app)).make_url("/reports"))
