"""Home Assistant's protocol at real processes, by the client that it uses itself."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import soundfile
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.info import Describe, Info

from tests.behaviour.test_speech import SAMPLES
from tests.conftest import PATIENCE_SECONDS, Server, free_port, tone
from tests.hardening.test_event_loop import HOLD_SECONDS
from tests.support.processes import Controlled, controlled, get, longest_hold, until
from tests.support.wyoming import answer_to, client_of, say, text_of

SAID = "We travel from Lima to Lisbon in September."
HOSTILE_BYTES = 100_000_000


async def heard(port: int, audio: Any, rate: int, **asked: Any) -> Transcript:
    """What Home Assistant does with a sentence: send it, and read up to the transcript."""
    async with client_of(port) as client:
        await client.write_event(Transcribe(**asked).event())
        await client.write_event(AudioStart(rate, 2, 1).event())
        for place in range(0, len(audio), 1024):
            chunk = audio[place : place + 1024].tobytes()
            await client.write_event(AudioChunk(rate, 2, 1, chunk).event())
        await client.write_event(AudioStop().event())
        while (event := await client.read_event()) is not None:
            if Transcript.is_type(event.type):
                return Transcript.from_event(event)
        raise AssertionError("the connection ended without a transcript")


@pytest.mark.parametrize("language", ["en", None])
async def test_home_assistant_finds_the_server_and_gets_its_sentence(
    server: Server, language: str | None
) -> None:
    async with client_of(server.wyoming_port) as client:
        await client.write_event(Describe().event())
        event = await client.read_event()
        assert event is not None
        [program] = Info.from_event(event).asr
        assert program.models[0].languages == ["en", "es"]
    audio, rate = soundfile.read(SAMPLES / "en-short.flac", dtype="int16")
    transcript = await heard(server.wyoming_port, audio, rate, language=language)
    assert (transcript.text, transcript.language) == (SAID, "en")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlled]:
    directory = tmp_path_factory.mktemp("wyoming")
    with controlled(directory, WYOMING_PORT=str(free_port())) as running:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log.read_text()


def test_what_is_too_large_is_not_kept(small: Controlled) -> None:
    before = psutil.Process(small.process.pid).memory_info().rss
    chunk = {"rate": 16_000, "width": 2, "channels": 1}
    for sent in (
        b"x" * HOSTILE_BYTES,
        b'{"type": "x", "data_length": 10000000000}\n' + b" " * HOSTILE_BYTES,
        json.dumps({"type": "audio-chunk", "data": chunk, "payload_length": 10**10}).encode()
        + b"\n"
        + bytes(HOSTILE_BYTES),
    ):
        asyncio.run(answer_to(small.wyoming_port, sent))
        after = psutil.Process(small.process.pid).memory_info().rss
        assert after - before < HOSTILE_BYTES / 2
    assert get(small, "/hc")[0] == 200


CHUNK = b'{"type": "audio-chunk", "data": {"rate": 16000, "width": 2, "channels": 1}, '
FLOODS = {
    "chunks of a sample": (CHUNK + b'"payload_length": 2}\nab') * 4000,
    "a chunk of minutes": CHUNK + b'"payload_length": 9000000}\n' + bytes(9_000_000),
    "wide data": (
        json.dumps({"type": "x", "data": dict.fromkeys(map(str, range(6000)), 1)}).encode() + b"\n"
    )
    * 20,
}


@pytest.mark.parametrize("name", FLOODS)
def test_no_flood_of_events_holds_the_event_loop(small: Controlled, name: str) -> None:
    longest_hold(small)
    [*_, error] = asyncio.run(answer_to(small.wyoming_port, FLOODS[name] + b"no event\n"))
    assert error["type"] == "error"
    assert longest_hold(small).held < HOLD_SECONDS


def test_clients_that_reset_their_connections_leave_nothing(small: Controlled) -> None:
    small.hold()
    descriptors = small.descriptors()
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", small.wyoming_port)) as caller:
            start = {"type": "audio-chunk", "payload_length": 32_000}
            start["data"] = {"rate": 16_000, "width": 2, "channels": 1}
            caller.sendall(json.dumps(start).encode() + b"\n" + bytes(32_000))
            caller.sendall(b'{"type": "audio-stop"}\n')
            linger = struct.pack("ii", 1, 0)  # closing resets the connection
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    small.release()
    until(lambda: small.metric("asr_queue_audio_seconds") == 0)
    until(lambda: small.descriptors() <= descriptors)


async def test_sigterm_lets_a_recording_be_answered_and_ends_idle_connections(
    tmp_path: Path,
) -> None:
    with controlled(tmp_path, WYOMING_PORT=str(free_port())) as server:
        server.hold()
        async with client_of(server.wyoming_port) as busy, client_of(server.wyoming_port) as idle:
            await say(busy, tone(2.0))
            await asyncio.to_thread(until, lambda: server.metric("asr_queue_audio_seconds") == 2)
            server.process.send_signal(signal.SIGTERM)
            assert await idle.read_event() is None
            server.release()
            assert await text_of(busy) == "2.00 s"
        assert await asyncio.to_thread(server.process.wait, PATIENCE_SECONDS) == 0
        log = server.log.read_text()
    assert "waiting for 1 requests" in log
    assert "wyoming: 2.0 s of audio" in log


def test_a_port_in_use_is_reported_before_the_model_is_loaded(
    small: Controlled, tmp_path: Path
) -> None:
    with controlled(tmp_path, wait=False, WYOMING_PORT=str(small.wyoming_port)) as other:
        assert other.process.wait(PATIENCE_SECONDS) == 1
        line = other.log.read_text().splitlines()[-1]
        where = f"WYOMING_PORT='{small.wyoming_port}'"
        assert line.startswith(f"configuration: {where}: address already in use;")
        assert not (tmp_path / "loading").exists()


def test_without_its_package_the_port_stops_the_start_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "wyoming.py").write_text("raise ModuleNotFoundError('none', name='wyoming')\n")
    path = f"{tmp_path}:{Path(__file__).parents[2]}"
    with controlled(tmp_path, wait=False, WYOMING_PORT="20001", PYTHONPATH=path) as server:
        assert server.process.wait(PATIENCE_SECONDS) == 1
        line = server.log.read_text().splitlines()[-1]
    assert line.startswith("configuration: WYOMING_PORT=20001 needs the package wyoming")
    assert "pip install wyoming" in line
