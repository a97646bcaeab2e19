"""One level of load: what is counted while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.benchmark.conftest import measured, stub_server
from tests.support.fake_engine import FakeEngine


async def test_a_warm_up_comes_before_the_measured_requests(
    start: Callable[..., Any], engine: FakeEngine, audio: Path
) -> None:
    [level] = await measured(await start(), "--audio", audio, "--concurrency", 2, "--requests", 3)
    assert level.requests == 3
    assert sum(len(step) for step in engine.steps) == 4


async def test_the_health_check_is_probed_meanwhile(aiohttp_server: Any, audio: Path) -> None:
    probes = 0
    probed = asyncio.Event()

    async def hc(_: web.Request) -> web.Response:
        nonlocal probes
        probes += 1
        if probes == 6:  # the first asks whether the server is there
            probed.set()
        return web.Response()

    calls = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        if calls > 1:  # after the warm-up
            await probed.wait()
        return web.json_response({"text": "well"})

    url = await stub_server(aiohttp_server, answer, hc)
    arguments = ("--audio", audio, "--concurrency", 2, "--requests", 2, "--probe-hz", 100)
    [level] = await measured(url, *arguments)
    assert level.health_probes == probes - 1 >= 5
    assert level.health_failures == {}
    assert level.health is not None
    assert 0 < level.health.p50 <= level.health.max
    assert level.client_lateness is not None


async def test_a_failing_health_check_is_counted(aiohttp_server: Any, audio: Path) -> None:
    answered = 0

    async def hc(_: web.Request) -> web.Response:
        nonlocal answered
        answered += 1
        return web.Response(status=200 if answered == 1 else 503)

    url = await stub_server(aiohttp_server, hc=hc)
    [level] = await measured(url, "--audio", audio, "--concurrency", 1, "--requests", 1)
    assert level.health_failures == {"503": level.health_probes}
    assert level.health is None
    assert level.failed


async def test_a_reply_without_a_transcript_is_a_failure(aiohttp_server: Any, audio: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"words": "none"})

    url = await stub_server(aiohttp_server, transcribe=answer)
    [level] = await measured(url, "--audio", audio, "--concurrency", 1, "--requests", 2)
    assert level.failures == {"not a transcript": 2}
    assert level.latency is None


async def test_a_connection_cut_short_is_a_failure(aiohttp_server: Any, audio: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    url = await stub_server(aiohttp_server, transcribe=answer)
    [level] = await measured(url, "--audio", audio, "--concurrency", 1, "--requests", 2)
    assert sum(level.failures.values()) == 2
    assert not any(kind.isdigit() for kind in level.failures)


@pytest.mark.parametrize(
    ("arguments", "failures", "refusals"),
    [((), {"429": 1}, 0), (("--patient",), {}, 1)],
    ids=["refused", "patient"],
)
async def test_a_refusal_is_a_failure_unless_patience_is_asked(
    aiohttp_server: Any,
    audio: Path,
    arguments: tuple[str, ...],
    failures: dict[str, int],
    refusals: int,
) -> None:
    seen = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal seen
        seen += 1
        if seen == 2:  # the first is the warm-up
            return web.json_response({}, status=429, headers={"Retry-After": "0"})
        return web.json_response({"text": "two words"}, headers={"X-Audio-Length": "1.0"})

    url = await stub_server(aiohttp_server, transcribe=answer)
    places = ("--audio", audio, "--concurrency", 1, "--requests", 2)
    [level] = await measured(url, *places, *arguments)
    assert (level.failures, level.refusals) == (failures, refusals)


async def test_a_level_of_seconds_goes_on_for_so_long(
    start: Callable[..., Any], audio: Path
) -> None:
    arguments = ("--audio", audio, "--concurrency", 2, "--seconds", 0.2)
    [level] = await measured(await start(), *arguments)
    assert level.requests >= 2
    assert level.seconds >= 0.2
