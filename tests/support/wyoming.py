"""Open the Wyoming port of an app, and speak to it as Home Assistant does, or worse."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from wyoming.asr import Transcribe
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.event import Event

from asr.api.wyoming.port import WyomingPort
from asr.http.app_keys import METRICS
from tests.conftest import PATIENCE_SECONDS, RATE, tone

CHUNK_FRAMES = 1024  # Home Assistant sends so many at a time.


@dataclass
class OpenPort:
    """A port that accepts connections."""

    port: WyomingPort
    number: int
    metrics: CollectorRegistry

    def client(self) -> AsyncTcpClient:
        return client_of(self.number)

    def count(self, status: int) -> float:
        """How many recordings ended with a status."""
        labels = {"route": "wyoming", "status": str(status)}
        return self.metrics.get_sample_value("asr_requests_total", labels) or 0.0


def client_of(port: int) -> AsyncTcpClient:
    return AsyncTcpClient("127.0.0.1", port, PATIENCE_SECONDS, PATIENCE_SECONDS)


MakePort = Callable[..., Awaitable[OpenPort]]


@pytest.fixture
async def make_port(make_client: Callable[..., Any]) -> AsyncIterator[MakePort]:
    """A function that opens the port of an app with the fake engine; its arguments are settings."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(most: int = 16, **settings: Any) -> OpenPort:
            client = await make_client(**settings)
            port = WyomingPort(client.app, most)
            loop = asyncio.get_running_loop()
            port.listener = await loop.create_server(port.protocol, "127.0.0.1", 0)
            stack.push_async_callback(port.end)
            number = port.listener.sockets[0].getsockname()[1]
            return OpenPort(port, number, client.app[METRICS].registry)

        yield make


def pcm(samples: np.ndarray, width: int = 2) -> bytes:
    """The bytes of `samples`, [frames] or [frames, channels], with `width` bytes for each."""
    whole = np.round(samples * (2 ** (8 * width - 1) - 1)).astype(np.int64)
    if width == 1:
        return (whole + 128).astype(np.uint8).tobytes()
    raw = whole.astype("<i8").view(np.uint8).reshape(-1, 8)
    return raw[:, :width].tobytes()


async def say(
    client: AsyncTcpClient,
    samples: np.ndarray | None = None,
    rate: int = RATE,
    width: int = 2,
    is_whole: bool = True,
    **asked: Any,
) -> None:
    """Send a recording in chunks, as Home Assistant does.

    Args:
        is_whole: whether its end is sent.
        asked: fields of `transcribe`.
    """
    samples = tone(2.0, rate) if samples is None else samples
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    await client.write_event(Transcribe(**asked).event())
    await client.write_event(AudioStart(rate, width, channels).event())
    for place in range(0, len(samples), CHUNK_FRAMES):
        data = pcm(samples[place : place + CHUNK_FRAMES], width)
        await client.write_event(AudioChunk(rate, width, channels, data).event())
    if is_whole:
        await client.write_event(AudioStop().event())


async def until_event(client: AsyncTcpClient, kind: str) -> list[Event]:
    """The events up to the first of a kind."""
    events: list[Event] = []
    while not events or events[-1].type != kind:
        event = await client.read_event()
        assert event is not None, f"no {kind} after {events}"
        events.append(event)
    return events


async def text_of(client: AsyncTcpClient) -> str:
    """The text of the recording that was sent."""
    *_, transcript, _ = await until_event(client, "transcript-stop")
    assert transcript.type == "transcript"
    return str(transcript.data["text"])


async def refusal(client: AsyncTcpClient) -> dict[str, Any]:
    """What the last event, an error, says; then the connection ends."""
    events = await until_event(client, "error")
    assert await client.read_event() is None
    return events[-1].data


async def answer_to(port: int, sent: bytes) -> list[dict[str, Any]]:
    """The events that come of raw bytes, until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(PATIENCE_SECONDS):
        with contextlib.suppress(ConnectionError):
            writer.write(sent)
            await writer.drain()
        found = []
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                head = json.loads(line)
                data = await reader.readexactly(head.get("data_length", 0))
                found.append({"type": head["type"], **json.loads(data or b"{}")})
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return found
