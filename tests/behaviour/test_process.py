"""Real server processes: whom they serve, and what those leave who do not wait."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import tone, wav
from tests.support.processes import Controlled, answer, controlled, get, post, until
from tests.support.sounds import encoded

LEAVERS = 20


def leave(server: Controlled, data: bytes, part: float, seen: int) -> None:
    """Send `part` of the body until `seen` windows are transcribed, and hang up."""
    with socket.create_connection(("127.0.0.1", server.port), 20) as caller:
        head = f"POST /asr HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
        sender = threading.Thread(target=send, args=(caller, head.encode(), data, part))
        sender.start()
        until(lambda: len(server.transcribed()) >= seen)
        if not seen:
            sender.join()
        caller.shutdown(socket.SHUT_RDWR)
        sender.join()


def send(caller: socket.socket, head: bytes, data: bytes, part: float) -> None:
    with contextlib.suppress(OSError):  # hung up, the rest is not wanted
        caller.sendall(head + data[: int(len(data) * part)])


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlled]:
    """A server that transcribes one window at a time."""
    directory = tmp_path_factory.mktemp("busy")
    with controlled(directory, ENGINE_CAPACITY="1") as server:
        yield server
        assert server.stop() == 0
        assert "Traceback" not in server.log.read_text()


def assert_nothing_is_left(server: Controlled) -> None:
    until(lambda: server.metric("asr_queue_audio_seconds") == 0)
    until(lambda: server.children() == [])
    until(lambda: server.temporary_files() == [])


@pytest.mark.parametrize(("name", "part"), [("wav", 0.9), ("mp3", 0.9), ("mp3", 1), ("m4a", 1)])
def test_a_caller_that_leaves_is_not_transcribed_any_more(
    busy: Controlled, name: str, part: float
) -> None:
    data = wav(tone(600)) if name == "wav" else encoded(f"ten-minutes.{name}")
    for _ in range(LEAVERS // 4):
        before = len(busy.transcribed())
        busy.hold(after=before + 2)
        leave(busy, data, part, seen=before + 2)
        assert_nothing_is_left(busy)
        busy.release()
        status, answer = post(busy, wav(tone(1.0)))
        assert (status, answer["text"]) == (200, " 1.00 s")
        assert busy.transcribed()[-1] == "0.00 1.00"
        assert (
            len(busy.transcribed()) <= before + 4
        )  # the two, one that the engine was at, the clip


def test_callers_that_leave_before_they_are_transcribed_leave_nothing(busy: Controlled) -> None:
    before = len(busy.transcribed())
    for _ in range(LEAVERS):
        leave(busy, encoded("speech.mp3"), 0.5, seen=0)
    assert_nothing_is_left(busy)
    assert len(busy.transcribed()) == before


async def test_the_engines_death_is_reported_to_everyone(tmp_path: Path) -> None:
    with controlled(tmp_path, ENGINE_CAPACITY="1") as server:
        server.hold()
        async with aiohttp.ClientSession() as session:
            asked = [asyncio.create_task(answer(session, server, wav(tone(2.0)))) for _ in range(5)]
            await asyncio.to_thread(until, lambda: server.metric("asr_queue_audio_seconds") == 10)
            (server.control / "die").touch()
            server.release()
            for status, message in await asyncio.gather(*asked):
                assert status == 503
                assert "CUDA error" in str(message)
            status, health = await asyncio.to_thread(get, server, "/hc")
            assert (status, health["status"]) == (503, "error")
            assert "CUDA error" in str(health["error"])
            assert (await answer(session, server, wav(tone(1.0))))[0] == 503
            assert server.metric("asr_engine_up") == 0
        assert await asyncio.to_thread(server.stop) == 0


KEYS = {
    ("Authorization", "Bearer secret"): 200,
    ("Authorization", "bearer secret"): 200,
    ("x-admin-api-key", "secret"): 200,
    ("Authorization", "Bearer wrong"): 401,
    ("Authorization", "Basic secret"): 401,
    ("Authorization", "Bearer "): 401,
    ("x-admin-api-key", "secre"): 401,
    ("x-admin-api-key", "s\u00e9cret"): 401,
    ("Host", "x"): 401,
}


def test_the_key_is_wanted_where_one_is_set(tmp_path: Path) -> None:
    with controlled(tmp_path, API_KEY="secret") as server:
        for (name, value), expected in KEYS.items():
            status, _ = post(server, wav(tone(1.0)), {name: value})
            assert status == expected, (name, value)
        for path in ("/hc", "/health", "/docs", "/openapi.json"):
            with socket.create_connection(("127.0.0.1", server.port), 20) as caller:
                caller.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
                assert b" 200 " in caller.recv(64), path
        assert get(server, "/metrics")[0] == 401
