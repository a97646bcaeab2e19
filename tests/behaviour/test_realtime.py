"""OpenAI's clients speak live to server processes; every event is one that their types accept."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import openai
import pytest
import soundfile
import soxr

from models.demo import synthesise
from tests.behaviour.test_speech import SAMPLES
from tests.clients.official import Absent, install_node_client
from tests.conftest import PATIENCE_SECONDS, ROOT, Server
from tests.support.processes import Controlled, controlled, get, longest_hold, until
from tests.support.realtime import RATE, TEXT, URL, server_events

FLOOD = 10_000  # appends of one sample
HOLD_SECONDS = 0.1  # The goal is a fifth of it, on a quiet machine.
KEY = "s3cr3t-k3y"
VOICES = ("gmw/en-US+m3", "gmw/en-US+Annie")  # They are as unlike as two people's are.


def speech(name: str = "en-short") -> bytes:
    """Return a sample of the demo model's speech, with a second of silence behind it."""
    samples, rate = soundfile.read(SAMPLES / f"{name}.flac", dtype="float32")
    heard = soxr.resample(samples, rate, RATE)
    return bytes((heard * 32767).astype("<i2").tobytes() + bytes(2 * RATE))


@contextlib.asynccontextmanager
async def official(server: Server, key: str = "none") -> AsyncIterator[Any]:
    """Yield a connection of OpenAI's client for Python."""
    async with (
        openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0) as client,
        client.realtime.connect(extra_query={"intent": "transcription"}) as connection,
    ):
        yield connection


async def received(connection: Any, last: str) -> list[Any]:
    """Return the events up to the first of the type `last`, each as OpenAI's types have it."""
    events: list[Any] = []
    while not events or events[-1].type != last:
        raw = json.loads(await connection.recv_bytes())
        events.append(server_events().validate_python(raw))
    return events


async def test_the_official_client_speaks_and_reads(server: Server) -> None:
    async with official(server) as connection:
        await received(connection, "session.created")
        audio: Any = {"input": {"transcription": {"model": "whisper-1", "language": "en"}}}
        await connection.session.update(session={"type": "transcription", "audio": audio})
        [updated] = await received(connection, "session.updated")
        assert updated.session.audio.input.transcription.language == "en"
        sent = speech()
        for place in range(0, len(sent), 4800):
            part = base64.b64encode(sent[place : place + 4800]).decode()
            await connection.input_audio_buffer.append(audio=part)
        events = await received(connection, f"{TEXT}.completed")
        assert "from Lima to Lisbon" in events[-1].transcript
        deltas = [event.delta for event in events if event.type == f"{TEXT}.delta"]
        assert "".join(deltas) == events[-1].transcript
        assert events[0].type == "input_audio_buffer.speech_started"
        await connection.input_audio_buffer.commit(event_id="mine")
        assert (await received(connection, "error"))[-1].error.event_id == "mine"


async def test_the_official_client_reads_who_speaks(server: Server) -> None:
    """Two synthetic voices take turns; every voice has the same letter when it comes again."""
    texts = [sentence.text for sentence in synthesise.sentences("en", 4, seed=4)]
    voices = [VOICES[number % 2] for number in range(4)]
    parts = [synthesise.speak(text, "en", voice) for text, voice in zip(texts, voices, strict=True)]
    pause = np.zeros(16_000, np.float32)
    said = np.concatenate([one for part in parts for one in (part.samples * 0.5, pause)])
    sent = (soxr.resample(said, 16_000, RATE) * 32767).astype("<i2").tobytes()
    async with official(server) as connection:
        await received(connection, "session.created")
        asked: Any = {"model": "gpt-4o-transcribe-diarize", "language": "en"}
        audio: Any = {"input": {"transcription": asked}}
        await connection.session.update(session={"type": "transcription", "audio": audio})
        await received(connection, "session.updated")
        for place in range(0, len(sent), 48_000):
            part = base64.b64encode(sent[place : place + 48_000]).decode()
            await connection.input_audio_buffer.append(audio=part)
        await connection.input_audio_buffer.commit(event_id="last")
        events = await received(connection, "error")
        whole = [event for event in events if event.type == f"{TEXT}.completed"]
        while len(whole) < 4:
            events += await received(connection, f"{TEXT}.completed")
            whole.append(events[-1])
    segments = [event for event in events if event.type == f"{TEXT}.segment"]
    assert [segment.speaker for segment in segments] == ["A", "B", "A", "B"]
    assert "".join(s.text for s in segments) == "".join(one.transcript for one in whole)
    assert [segment.id for segment in segments] == [f"seg_00{n}" for n in (1, 2, 3, 4)]


def test_the_official_client_for_node_does_so_with_a_subprotocol_as_key(server: Server) -> None:
    try:
        folder = install_node_client(ROOT / ".cache")
    except Absent as reason:
        pytest.skip(str(reason))
    audio = base64.b64encode(speech()).decode()
    asked = {"url": f"{server.url}/v1", "key": KEY, "audio": audio, "bytes": 4800}
    done = subprocess.run(
        ["node", str(folder / "realtime.mjs")],
        input=json.dumps(asked),
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert told["protocol"] == "realtime"
    events = [server_events().validate_python(event) for event in told["events"]]
    [completed] = (event for event in events if event.type == f"{TEXT}.completed")
    assert "from Lima to Lisbon" in completed.transcript


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlled]:
    """Run a server whose engine is controlled."""
    with controlled(tmp_path_factory.mktemp("live"), API_KEY=KEY, LOG_LEVEL="DEBUG") as running:
        yield running
        assert running.stop() == 0
        log = running.log.read_text()
        assert "Traceback" not in log
        assert KEY not in log


@contextlib.asynccontextmanager
async def opened(server: Controlled, **how: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as client,
        client.ws_connect(server.url + URL, **how) as live,
    ):
        assert (await live.receive_json())["type"] == "session.created"
        yield live


async def test_a_client_secret_opens_it_for_the_official_client(tones: Controlled) -> None:
    async with openai.AsyncOpenAI(base_url=f"{tones.url}/v1", api_key=KEY) as client:
        secret = await client.realtime.client_secrets.create(
            expires_after={"anchor": "created_at", "seconds": 60},
            session={"type": "transcription", "audio": {"input": {"turn_detection": None}}},
        )
    async with official(tones, secret.value) as connection:
        [created] = await received(connection, "session.created")
        assert created.session.audio.input.turn_detection is None
    assert secret.value not in tones.log.read_text()


async def test_a_flood_of_small_appends_does_not_hold_the_event_loop(tones: Controlled) -> None:
    audio = base64.b64encode(bytes(2)).decode()
    event = json.dumps({"type": "input_audio_buffer.append", "audio": audio})
    async with opened(tones) as live:
        await asyncio.to_thread(hold, tones)
        for _ in range(FLOOD):
            await live.send_str(event)
        await live.send_str('{"type": "input_audio_buffer.clear"}')
        assert (await live.receive_json())["type"] == "input_audio_buffer.cleared"
        held = await asyncio.to_thread(hold, tones)
    assert held < HOLD_SECONDS, f"held for {held * 1000:.0f} ms"


@pytest.mark.parametrize("kind", ["ping", "error", "fragment"])
async def test_a_flood_of_anything_else_does_not_either(tones: Controlled, kind: str) -> None:
    async with opened(tones, autoping=False) as live:
        await asyncio.to_thread(hold, tones)
        for number in range(2000):
            if kind == "ping":
                await live.ping()
            elif kind == "error":
                await live.send_str("[" * 1000)
            else:
                opcode = aiohttp.WSMsgType.CONTINUATION if number else aiohttp.WSMsgType.TEXT
                frame = bytes([int(opcode), 0x80]) + b"mask"
                live._writer.transport.write(frame)
        held = await asyncio.to_thread(hold, tones)
    assert held < HOLD_SECONDS, f"held for {held * 1000:.0f} ms"


async def test_the_largest_append_does_not_either(tones: Controlled) -> None:
    """On a quiet machine it holds it for 40 ms; on a busy one the least of three tries counts."""
    audio = base64.b64encode(bytes(15 * 2**20)).decode()
    event = json.dumps({"type": "input_audio_buffer.append", "audio": audio})
    tries: list[float] = []
    while len(tries) < 3 and not any(held < HOLD_SECONDS for held in tries):
        async with opened(tones) as live:
            await asyncio.to_thread(hold, tones)
            await live.send_str(event)
            await live.send_str("{}")
            assert (await live.receive_json())["type"] == "error"
            tries.append(await asyncio.to_thread(hold, tones))
    assert min(tries) < HOLD_SECONDS, f"held for {tries} s"


def hold(server: Controlled) -> float:
    return longest_hold(server, {"Authorization": f"Bearer {KEY}"}).held


async def test_a_client_whose_machine_vanishes_leaves_nothing(tones: Controlled) -> None:
    async with opened(tones) as live:
        await live.send_bytes(bytes(48_000))
        live._response.connection.transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
    await asyncio.to_thread(until, lambda: live_sessions(tones) == 0)


def live_sessions(server: Controlled) -> object:
    return get(server, "/hc?verbose=1")[1]["live_sessions"]


async def test_a_client_that_never_reads_is_dropped_and_what_it_held_is_free(
    tmp_path: Path,
) -> None:
    """Its events fill the system's buffers, then the session's own, and then it is closed."""
    event = json.dumps({"type": "x" * 100, "event_id": "y" * 512}).encode()
    with controlled(tmp_path, API_KEY=KEY, SEND_TIMEOUT_S="1") as server:
        with contextlib.suppress(OSError):
            async with opened(server) as live:
                transport = live._response.connection.transport
                transport.pause_reading()
                while not transport.is_closing():
                    await live.send_str(event.decode())
        await asyncio.to_thread(until, lambda: live_sessions(server) == 0)
        assert "the client does not read its events" in server.log.read_text()
        assert server.stop() == 0


async def test_sigterm_tells_live_sessions_at_once(tmp_path: Path) -> None:
    with controlled(tmp_path, API_KEY=KEY, DRAIN_TIMEOUT_S="600") as server:
        async with opened(server) as live:
            server.process.terminate()
            message = await asyncio.wait_for(live.receive(), PATIENCE_SECONDS)
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
        code = await asyncio.to_thread(server.process.wait, PATIENCE_SECONDS)
        assert code == 0
        assert "the server is shutting down: connect again" in server.log.read_text()
