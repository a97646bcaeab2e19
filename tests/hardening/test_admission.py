"""Long files, many of them, keep nobody out; and whoever does not read holds nothing for ever."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from aiohttp import web

from asr.config.config import Config
from asr.engines.engine import Window, WindowResult
from asr.http import app_keys
from asr.server.app import create_app
from asr.server.connection_pool import ConnectionPool
from asr.server.listener import open_port, reserve
from asr.transcript import Segment
from tests.conftest import eventually, free_port, tone, wav
from tests.support.fake_engine import FakeEngine

LONG_SECONDS = 600  # A long file lasts so many seconds.
LONG_TEXT = 10**6 * "a"  # More of them than the system keeps are in an answer.


@dataclass
class Slow(FakeEngine):
    """Takes its time for every step, and a window at a time as on a processor."""

    capacity: int = 2
    seconds: float = 0.01

    def step(self, admitted: Sequence[Window]) -> list[WindowResult]:
        time.sleep(self.seconds)
        return super().step(admitted)


@pytest.fixture
def engine() -> Slow:
    return Slow()


@pytest.fixture(scope="module")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audio") / "long.wav"
    path.write_bytes(wav(np.tile(tone(1.0), LONG_SECONDS)))
    return path


@contextlib.asynccontextmanager
async def highest_queue(client: Any) -> AsyncIterator[Callable[[], float]]:
    """Yield a function that returns how many seconds of audio waited at most."""
    scheduler = client.app[app_keys.SCHEDULER]
    highest = 0.0

    async def sample() -> None:
        nonlocal highest
        while True:
            highest = max(highest, scheduler.queue_seconds)
            await asyncio.sleep(0)

    sampler = asyncio.create_task(sample())
    try:
        yield lambda: highest
    finally:
        sampler.cancel()


async def post(client: Any, **how: Any) -> tuple[int, dict[str, Any]]:
    async with client.post("/asr?language=en", **how) as response:
        return response.status, await response.json()


async def test_with_ten_long_files_every_clip_is_answered_and_the_limit_holds(
    make_client: Any, engine: Slow, long_file: Path
) -> None:
    client = await make_client(audio_root=long_file.parent, max_queue_seconds=960.0)
    clip, url = wav(tone(3.0)), {"url": long_file.name}
    engine.gate.clear()
    async with highest_queue(client) as highest:
        files = [asyncio.create_task(post(client, json=url)) for _ in range(10)]
        await until_busy(client, 550)
        clips = [asyncio.create_task(post(client, data=clip)) for _ in range(60)]
        await until_busy(client, 550 + 60 * 3)
        engine.gate.set()
        statuses = [status for status, _ in await asyncio.gather(*clips)]
        statuses += [(await post(client, data=clip))[0] for _ in range(40)]
        assert statuses == [200] * 100
        answers = await asyncio.gather(*files)
        assert highest() <= 960
    assert [status for status, _ in answers] == [200] * 10
    assert len({answer["text"] for _, answer in answers}) == 1


async def until_busy(client: Any, seconds: float) -> None:
    async with asyncio.timeout(60):
        while client.app[app_keys.SCHEDULER].queue_seconds < seconds:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_of_more_long_files_than_fit_some_are_refused_at_once_and_the_others_end(
    make_client: Any, long_file: Path
) -> None:
    client = await make_client(audio_root=long_file.parent, max_queue_seconds=480.0)
    async with highest_queue(client) as highest:
        answers = await asyncio.gather(
            *(post(client, json={"url": long_file.name}) for _ in range(40))
        )
        assert 300 < highest() <= 480
    statuses = [status for status, _ in answers]
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 7
    assert client.app[app_keys.SCHEDULER].queue_seconds == 0


async def test_most_of_24_official_clients_that_are_refused_at_once_get_their_text(
    make_client: Any, engine: Slow
) -> None:
    engine.capacity, engine.seconds = 1, 0.25
    client = await make_client(max_queue_seconds=15.0)
    api = openai.AsyncOpenAI(base_url=str(client.make_url("/v1")), api_key="none")
    clip = wav(tone(5.0))

    async def ask() -> bool:
        with contextlib.suppress(openai.RateLimitError):
            file = ("a.wav", clip)
            return bool((await api.audio.transcriptions.create(model="whisper-1", file=file)).text)
        return False

    answered = await asyncio.gather(*(ask() for _ in range(24)))
    await api.close()
    assert sum(answered) >= 16  # 9 of them where all are told to come back at the same moment


@contextlib.asynccontextmanager
async def served(config: Config, engine: FakeEngine) -> AsyncIterator[web.Application]:
    """Serve the app as the process does, on connections that are watched."""
    app = create_app(config, lambda _: engine)
    runner = web.AppRunner(app, handler_cancellation=True)
    clock = asyncio.get_running_loop().time
    listener = await reserve(runner, config, ConnectionPool(100, config.keepalive_timeout_s, clock))
    try:
        await runner.setup()
        await open_port(listener, config)
        yield app
    finally:
        listener.close()
        await runner.cleanup()


@pytest.mark.parametrize("query", ["language=en&stream=true", "language=en"])
async def test_whoever_does_not_read_is_dropped_and_everything_is_free_again(
    engine: Slow, caplog: pytest.LogCaptureFixture, query: str
) -> None:
    caplog.set_level("INFO")
    engine.transcribe = lambda window: WindowResult(window, (Segment(0.0, 1.0, LONG_TEXT),), "en")
    config = Config(
        host="127.0.0.1", port=free_port(), vad="off", chunk_length_s=2.0, send_timeout_s=0.5
    )
    loop, sound = asyncio.get_running_loop(), wav(tone(60.0))
    head = f"POST /asr?{query} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(sound)}\r\n\r\n"
    async with served(config, engine) as app:
        with socket.socket() as caller:
            caller.setblocking(False)
            await loop.sock_connect(caller, (config.host, config.port))
            await loop.sock_sendall(caller, head.encode() + sound)
            await eventually(lambda: "SEND_TIMEOUT_S=0.5" in caplog.text)
            await eventually(lambda: app[app_keys.SCHEDULER].queue_seconds == 0)
    assert caplog.text.count("took nothing of its answer for SEND_TIMEOUT_S=0.5") == 1
