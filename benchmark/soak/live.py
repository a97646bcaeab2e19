"""Describe the soak's live sessions: their audio comes at once, their text is awaited."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import aiohttp
import soundfile

from benchmark.soak.cards import Card, Reply, of_nothing
from benchmark.soak.clips import Clip

ROUTE = "/v1/realtime?intent=transcription"
COMPLETED = "conversation.item.input_audio_transcription.completed"
GOING_AWAY = 1001  # The server stops, and closes a live session so at once (RFC 6455, 7.4.1).
STATUSES = frozenset({200, 503})


@dataclass(frozen=True)
class LiveCard(Card):
    """Describes a live session of one utterance.

    Its text is not compared: which words are given out early depends on the load.
    """

    pcm: bytes = b""  # 16 bits, one channel
    rate: int = 0  # samples per second

    async def send(self, session: aiohttp.ClientSession, url: str) -> Reply:
        """Open a session, send the audio, and wait for its text.

        Raises:
            aiohttp.ClientError, OSError, TimeoutError: there was none.
        """
        try:
            async with session.ws_connect(url + self.path) as socket:
                await socket.send_json(self._settings())
                await socket.send_bytes(self.pcm)
                await socket.send_json({"type": "input_audio_buffer.commit"})
                return await _reply(socket)
        except aiohttp.WSServerHandshakeError as error:
            return Reply(error.status, "", error.message, 1.0)

    def _settings(self) -> dict[str, Any]:
        audio = {"format": {"type": "audio/pcm", "rate": self.rate}, "turn_detection": None}
        session = {"type": "transcription", "audio": {"input": audio}}
        return {"type": "session.update", "session": session}


async def _reply(socket: aiohttp.ClientWebSocketResponse) -> Reply:
    async for message in socket:
        event = message.json()
        if event["type"] == COMPLETED:
            return Reply(200 if event["transcript"].strip() else 500, "", "no text", 1.0)
        if event["type"].endswith(("error", "failed")):
            return Reply(400, "", str(event["error"]), 1.0)
    if socket.close_code == GOING_AWAY:
        return Reply(503, "", "the server stops", 1.0)
    raise aiohttp.ClientConnectionError(f"the socket was closed: {socket.close_code}")


def live(clip: Clip) -> LiveCard:
    """Return the session of a clip that libsndfile reads."""
    samples, rate = soundfile.read(io.BytesIO(clip.data), dtype="int16", always_2d=True)
    name, data = f"{ROUTE} {clip.name}", samples[:, 0].tobytes()
    return LiveCard(name, ROUTE, "GET", STATUSES, of_nothing, pcm=data, rate=int(rate))
