"""What a client asks for, and its audio on the way to the decoder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from asr import vocabulary
from asr.api.wyoming.reader import IncomingEvent, unusable
from asr.audio.raw_pcm import MAX_CHANNELS, RawPcm, as_wave
from asr.audio.wav import PCM
from asr.capabilities import EngineInfo
from asr.errors import BadRequest
from asr.options import Options
from asr.pcm import HIGHEST_RATE, LOWEST_RATE
from asr.transcription.languages import language_code

WAITING_BYTES = 128 * 1024  # While so many bytes wait to be decoded, the client waits, too.
MOST_NAMES = 1000  # More names are refused. Of these, a home's first ones are known.
NAME_CHARS = 200  # So is a longer one.

Names = Annotated[list[Annotated[str, Field(max_length=NAME_CHARS)]], Field(max_length=MOST_NAMES)]


class AskedTranscript(BaseModel):
    """The data of `transcribe`; what else it has, such as `name`, has no effect."""

    language: str | None = Field(None, max_length=NAME_CHARS)
    transcript_names: Names | None = None
    transcript_terms: Names | None = None

    def options(self, info: EngineInfo) -> Options:
        """How the audio that follows is transcribed.

        Raises:
            BadRequest: a name or the language cannot be used.
        """
        names = [*(self.transcript_names or ()), *(self.transcript_terms or ())]
        try:
            known = vocabulary.checked(names[: vocabulary.MOST_NAMES])
        except ValueError as error:
            raise BadRequest(f"transcribe: a name of transcript_names {error}") from error
        return Options(
            language=language_code(self.language, info), vocabulary=known if info.can_prompt else ()
        )


class SentFormat(BaseModel):
    """The data of `audio-start` and `audio-chunk`: linear PCM, little endian."""

    rate: int = Field(ge=LOWEST_RATE, le=HIGHEST_RATE)  # frames per second
    width: Literal[1, 2, 3, 4]  # bytes of a sample; one byte is unsigned
    channels: int = Field(ge=1, le=MAX_CHANNELS)


def asked_of(event: IncomingEvent) -> AskedTranscript:
    """What a `transcribe` asks for.

    Raises:
        BadRequest: it cannot be understood.
    """
    try:
        return AskedTranscript.model_validate(event.data)
    except ValidationError as error:
        raise unusable(event.type, error) from error


def format_of(event: IncomingEvent, known: SentFormat | None = None) -> SentFormat:
    """The format of an event's audio; what it does not say is as it was before.

    Raises:
        BadRequest: it cannot be understood, or is not what it was before.
    """
    before: Mapping[str, Any] = {} if known is None else known.model_dump()
    try:
        found = SentFormat.model_validate({**before, **event.data})
    except ValidationError as error:
        raise unusable(event.type, error) from error
    if known is not None and found != known:
        raise BadRequest(
            f"{event.type}: the audio has another format than it had before ({known}): send "
            "audio-stop first, or convert it"
        )
    return found


class ArrivingRecording:
    """The audio between `audio-start` and `audio-stop`, of which little waits in memory.

    Small pieces are joined, so that thousands of them cost little.
    """

    def __init__(self, sent: SentFormat) -> None:
        self.format = sent
        self.received = 0  # bytes
        self._waiting = bytearray()
        self._has_ended = False
        self._changed = asyncio.Condition()

    async def put(self, data: bytes) -> None:
        """Add some bytes, once there is room."""
        self.received += len(data)
        if len(self._waiting) >= WAITING_BYTES:
            async with self._changed:
                await self._changed.wait_for(lambda: len(self._waiting) < WAITING_BYTES)
        was_empty = not self._waiting
        self._waiting += data
        if was_empty:
            await self._notify()

    async def end(self) -> None:
        """Know that no more bytes come."""
        self._has_ended = True
        await self._notify()

    def source(self) -> AsyncIterator[bytes]:
        """The audio as a WAV file of unknown length."""
        sent = self.format
        raw = RawPcm(PCM, 8 * sent.width, False, sent.rate, sent.channels)
        return as_wave(self._arriving(), raw)

    async def _arriving(self) -> AsyncIterator[bytes]:
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._waiting or self._has_ended)
            if not self._waiting:
                return
            data = bytes(self._waiting)
            self._waiting.clear()
            await self._notify()
            yield data

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
