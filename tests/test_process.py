"""Real server processes: how they start, whom they serve, and how they end."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import ROOT, tone, wav
from tests.processes import WAIT_SECONDS, Controlled, controlled, until
from tests.sounds import encoded

LEAVERS = 20


def post(server: Controlled, body: bytes) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request("POST", "/asr", body=body)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def get(server: Controlled, path: str) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")
    finally:
        connection.close()


def leave(server: Controlled, data: bytes, part: float, seen: int) -> None:
    """Send `part` of the body until `seen` windows are heard, and hang up."""
    with socket.create_connection(("127.0.0.1", server.port), 20) as caller:
        head = f"POST /asr HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
        sender = threading.Thread(target=send, args=(caller, head.encode(), data, part))
        sender.start()
        until(lambda: len(server.heard()) >= seen)
        if not seen:
            sender.join()
        caller.shutdown(socket.SHUT_RDWR)
        sender.join()


def send(caller: socket.socket, head: bytes, data: bytes, part: float) -> None:
    with contextlib.suppress(OSError):  # hung up, the rest is not wanted
        caller.sendall(head + data[: int(len(data) * part)])


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlled]:
    """A server that needs 0.2 s for a window and hears one at a time."""
    directory = tmp_path_factory.mktemp("busy")
    with controlled(directory, ENGINE_CAPACITY="1", ENGINE_SECONDS="0.2") as server:
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
        before = len(busy.heard())
        leave(busy, data, part, seen=before + 2)
        assert_nothing_is_left(busy)
        status, answer = post(busy, wav(tone(1.0)))
        assert (status, answer["text"]) == (200, " 1.00 s")
        assert busy.heard()[-1] == "0.00 1.00"
        assert len(busy.heard()) < before + 15  # ten minutes have 20 windows or more


def test_callers_that_leave_before_they_are_heard_leave_nothing(busy: Controlled) -> None:
    before = len(busy.heard())
    for _ in range(LEAVERS):
        leave(busy, encoded("speech.mp3"), 0.5, seen=0)
    assert_nothing_is_left(busy)
    assert len(busy.heard()) <= before + LEAVERS


async def test_sigterm_lets_what_is_in_flight_end_and_takes_nothing_new(tmp_path: Path) -> None:
    with controlled(tmp_path, DRAIN_TIMEOUT_S="30") as server:
        server.hold()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            async with session.get(server.url + "/hc") as health:  # its connection stays open
                assert await health.json()
            asked = [
                asyncio.create_task(answer(session, server, wav(tone(float(seconds)))))
                for seconds in range(1, 7)
            ]
            await asyncio.to_thread(until, lambda: server.metric("asr_queue_audio_seconds") == 21)
            server.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(until, lambda: not server.answers())
            server.release()
            answers = await asyncio.gather(*asked)
        assert answers == [(200, f" {seconds:.2f} s") for seconds in range(1, 7)]
        assert await asyncio.to_thread(server.process.wait, WAIT_SECONDS) == 0


async def answer(
    session: aiohttp.ClientSession, server: Controlled, data: bytes
) -> tuple[int, object]:
    async with session.post(server.url + "/asr?language=en", data=data) as response:
        content = await response.json()
        return response.status, content.get("text", content.get("error"))


async def test_an_upload_in_flight_at_sigterm_is_still_answered(tmp_path: Path) -> None:
    may_end = asyncio.Event()
    data = wav(tone(2.0))

    async def slowly() -> object:
        yield data[:1000]
        await may_end.wait()
        yield data[1000:]

    with controlled(tmp_path, DRAIN_TIMEOUT_S="30") as server:
        async with aiohttp.ClientSession() as session:
            asked = asyncio.create_task(answer(session, server, slowly()))
            await asyncio.to_thread(until, lambda: server.metric("asr_queue_audio_seconds") > 0)
            server.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(until, lambda: not server.answers())
            may_end.set()
            assert await asked == (200, " 2.00 s")
        assert await asyncio.to_thread(server.process.wait, WAIT_SECONDS) == 0


@pytest.mark.parametrize("sends_all", [True, False])
async def test_what_outlasts_the_drain_limit_does_not_hold_the_exit(
    tmp_path: Path, sends_all: bool
) -> None:
    may_end = asyncio.Event()

    async def body() -> object:
        yield wav(tone(2.0))[: None if sends_all else 1000]
        if not sends_all:
            await may_end.wait()

    with controlled(tmp_path, DRAIN_TIMEOUT_S="2") as server:
        server.hold()
        async with aiohttp.ClientSession() as session:
            asked = asyncio.create_task(answer(session, server, body()))
            await asyncio.to_thread(until, lambda: server.metric("asr_queue_audio_seconds") > 0)
            if sends_all:
                await asyncio.to_thread(
                    until, lambda: server.metric("asr_queue_audio_seconds") == 2
                )
            server.process.send_signal(signal.SIGTERM)
            started = time.monotonic()
            code = await asyncio.to_thread(server.process.wait, WAIT_SECONDS)
            assert time.monotonic() - started < 30
            if sends_all:
                status, message = await asked
                assert status == 503
                assert "shutting down" in str(message)
            else:
                asked.cancel()
                await asyncio.gather(asked, return_exceptions=True)
        assert code == 0, server.log.read_text()


async def test_the_engines_death_is_told_to_everyone(tmp_path: Path) -> None:
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


def test_the_port_is_closed_until_the_model_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "hold-load").touch()
    with controlled(tmp_path, wait=False) as server:
        until((tmp_path / "loading").exists)
        assert not server.answers()
        (tmp_path / "hold-load").unlink()
        until(server.answers)
        assert get(server, "/hc")[0] == 200
        assert server.stop() == 0


def test_sigterm_while_the_model_loads_ends_the_process(tmp_path: Path) -> None:
    (tmp_path / "hold-load").touch()
    with controlled(tmp_path, wait=False) as server:
        until((tmp_path / "loading").exists)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(WAIT_SECONDS) == 0
        assert "Traceback" not in server.log.read_text()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_every_address_of_the_machine_is_answered(tmp_path: Path, host: str) -> None:
    if host == "::1" and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    with controlled(tmp_path, HOST="*") as server:
        connection = http.client.HTTPConnection(host, server.port, timeout=20)
        connection.request("GET", "/hc")
        assert json.loads(connection.getresponse().read())["status"] == "ok"
        connection.close()


@pytest.mark.parametrize(
    ("name", "value"), [("BATCH_SIZE", "many"), ("PORT", "99999"), ("AUDIO_ROOT", "/no/such")]
)
def test_a_bad_setting_stops_the_start_and_is_named(name: str, value: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "server.py")],
        env={**os.environ, name: value},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert f"{name}={value!r}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_stops_the_start(tmp_path: Path) -> None:
    with controlled(tmp_path) as server:
        second = tmp_path / "second"
        second.mkdir()
        with controlled(second, wait=False, PORT=str(server.port)) as other:
            assert other.process.wait(60) != 0
            assert "address already in use" in other.log.read_text()
        assert get(server, "/hc")[0] == 200


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
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
            connection.request("POST", "/asr", body=wav(tone(1.0)), headers={name: value})
            assert connection.getresponse().status == expected, (name, value)
            connection.close()
        for path in ("/hc", "/health", "/docs", "/openapi.json"):
            with socket.create_connection(("127.0.0.1", server.port), 20) as caller:
                caller.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
                assert b" 200 " in caller.recv(64), path
        assert get(server, "/metrics")[0] == 401
