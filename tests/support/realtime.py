"""Speak OpenAI's Realtime protocol to an app in which a tone is speech and silence is none."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Callable
from typing import Any, cast

import aiohttp
import numpy as np
import pytest
from pydantic import TypeAdapter

from asr.live import sessions
from asr.vad.detector import Detector
from tests.conftest import tone
from tests.support.live import LoudTrack

RATE = 24_000
URL = "/v1/realtime?intent=transcription"
OURS = "conversation.item.input_audio_transcription.hypothesis"  # OpenAI has no such event
TEXT = "conversation.item.input_audio_transcription"


@functools.cache
def server_events() -> TypeAdapter[Any]:
    """Return OpenAI's types of all events, whose import takes a second."""
    from openai.types.realtime import RealtimeServerEvent

    return TypeAdapter(RealtimeServerEvent)


def sound(*seconds: float) -> bytes:
    """Return samples of 16 bits at 24 kHz: a tone, silence, a tone and so on, so long each."""
    parts = [
        np.zeros(round(each * RATE), np.float32) if number % 2 else tone(each, RATE)
        for number, each in enumerate(seconds)
    ]
    return (np.concatenate(parts) * 32767).astype("<i2").tobytes()


class Socket:
    """Sends a client's events and reads the server's, each of which OpenAI's types accept."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, is_strict: bool = True) -> None:
        self.socket = socket
        self._is_strict = is_strict

    async def send(self, kind: str, **fields: object) -> None:
        await self.socket.send_str(json.dumps({"type": kind, **fields}))

    async def append(self, data: bytes, **fields: object) -> None:
        audio = base64.b64encode(data).decode()
        await self.send("input_audio_buffer.append", audio=audio, **fields)

    async def update(self, **audio: object) -> dict[str, Any]:
        """Set fields of `session.audio.input`; return the event that answers."""
        await self.send("session.update", session={"audio": {"input": audio}})
        return await self.next()

    async def next(self) -> dict[str, Any]:
        message = await self.socket.receive()
        assert message.type is aiohttp.WSMsgType.TEXT, message
        event = json.loads(message.data)
        if self._is_strict and event["type"] != OURS:
            server_events().validate_python(event)
        return cast(dict[str, Any], event)

    async def until(self, kind: str) -> list[dict[str, Any]]:
        """Return all events up to the first one of a type."""
        events = [await self.next()]
        while events[-1]["type"] != kind:
            events.append(await self.next())
        return events

    async def error(self) -> dict[str, Any]:
        """Return the error that the next event tells."""
        event = await self.next()
        assert event["type"] == "error", event
        return cast(dict[str, Any], event["error"])

    async def closed(self) -> tuple[int | None, str]:
        """Read to the end; return the code and the reason of the close frame."""
        while True:
            message = await self.socket.receive()
            if message.type is aiohttp.WSMsgType.CLOSE:
                return message.data, message.extra or ""
            assert message.type is aiohttp.WSMsgType.TEXT, message


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].rpartition("input_audio_")[2] for event in events]


@pytest.fixture
def make_live_client(
    make_client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Return a function that makes clients of an app whose live sessions take tones for speech."""
    monkeypatch.setattr(sessions, "choose", lambda: Detector(lambda _: LoudTrack()))
    return make_client


@pytest.fixture
async def live_client(make_live_client: Callable[..., Any]) -> Any:
    return await make_live_client()


@pytest.fixture
def connect() -> Callable[..., Any]:
    """Return a function that opens a socket and reads the event which begins it."""

    async def open_socket(
        client: Any, is_strict: bool = True, url: str = URL, **how: Any
    ) -> Socket:
        socket = Socket(await client.ws_connect(url, **how), is_strict)
        assert (await socket.next())["type"] in {
            "session.created",
            "transcription_session.created",
        }
        return socket

    return open_socket
