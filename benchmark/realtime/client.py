"""Plays recordings to a server's socket at the pace of time, and notes when events come."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from benchmark.realtime.context import ContextCounter
from benchmark.realtime.speech import PIECE_SECONDS, RATE, Speech

ROUTE = "/v1/realtime?intent=transcription"
ITEM = "conversation.item.input_audio_transcription"
BUFFER = "input_audio_buffer"
REST_SECONDS = 120.0  # A text that has not come so many seconds after the audio has failed.
LAST = "last"  # The id of the commit behind all audio, which is refused where nothing is left.

Event = dict[str, Any]


@dataclass
class Played:
    """Holds what a server told while a recording was played to it."""

    speech: Speech
    events: list[tuple[float, Event]] = field(default_factory=list)  # seconds after the start
    late: list[float] = field(default_factory=list)  # seconds that each piece was sent too late
    failure: str | None = None  # why it broke off
    in_context: set[str] = field(default_factory=set)  # items decoded again behind those before


async def play(
    client: aiohttp.ClientSession,
    speeches: Iterable[Speech],
    language: str | None = None,
    is_alone: bool = False,
) -> list[Played]:
    """Play recordings one after the other, each in a session of its own.

    After one that breaks off no more are played.

    Args:
        is_alone: whether the server has no other session; it is asked for `in_context` then.
    """
    played = []
    for speech in speeches:
        context = ContextCounter(client) if is_alone else None
        played.append(await _session(client, speech, language, context))
        if played[-1].failure is not None:
            break
    return played


async def _session(
    client: aiohttp.ClientSession,
    speech: Speech,
    language: str | None,
    context: ContextCounter | None,
) -> Played:
    played = Played(speech)
    try:
        if context is not None:
            await context.has_grown()  # by what was said before
        async with client.ws_connect(ROUTE, heartbeat=30.0, max_msg_size=0) as socket:
            await socket.send_json(settings(language))
            start = time.monotonic()
            reading = asyncio.create_task(_read(socket, played, start, context))
            try:
                with contextlib.suppress(aiohttp.ClientConnectionError):  # the reader says why
                    await _send(socket, speech, played, start)
                await asyncio.wait_for(reading, REST_SECONDS)
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
    except (aiohttp.ClientError, TimeoutError, ConnectionError, Ended) as error:
        played.failure = played.failure or str(error) or type(error).__name__
    return played


class Ended(Exception):
    """The server has closed the socket before all was transcribed."""


def settings(language: str | None) -> Event:
    """Return the event that sets a session up, with the words of each utterance."""
    transcription = {} if language is None else {"language": language}
    audio = {
        "format": {"type": "audio/pcm", "rate": RATE},
        "transcription": transcription,
        "turn_detection": {"type": "server_vad"},
    }
    include = ["item.input_audio_transcription.words"]
    session = {"type": "transcription", "audio": {"input": audio}, "include": include}
    return {"type": "session.update", "session": session}


async def _send(
    socket: aiohttp.ClientWebSocketResponse[bool], speech: Speech, played: Played, start: float
) -> None:
    """Send each piece when a microphone would: once its last sample is spoken."""
    for number, piece in enumerate(speech.pieces(), 1):
        wait = start + number * PIECE_SECONDS - time.monotonic()
        await asyncio.sleep(max(0.0, wait))
        played.late.append(max(0.0, time.monotonic() - start - number * PIECE_SECONDS))
        audio = base64.b64encode(piece).decode()
        await socket.send_json({"type": f"{BUFFER}.append", "audio": audio})
    await socket.send_json({"type": f"{BUFFER}.commit", "event_id": LAST})
    await socket.send_json({"type": f"{BUFFER}.clear"})


async def _read(
    socket: aiohttp.ClientWebSocketResponse[bool],
    played: Played,
    start: float,
    context: ContextCounter | None,
) -> None:
    """Note each event until all that is committed has its text.

    Raises:
        Ended: the socket is closed before.
    """
    waiting: set[str] = set()
    is_last = False
    while not is_last or waiting:
        message = await socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise Ended(f"closed with {socket.close_code}: {message.extra or 'no reason'}")
        event: Event = json.loads(message.data)
        played.events.append((time.monotonic() - start, event))
        kind = event["type"]
        if kind == f"{BUFFER}.committed":
            waiting.add(event["item_id"])
        elif kind in (f"{ITEM}.completed", f"{ITEM}.failed"):
            waiting.discard(event["item_id"])
            if context is not None and await context.has_grown():
                played.in_context.add(event["item_id"])
        is_last = is_last or kind == f"{BUFFER}.cleared"
