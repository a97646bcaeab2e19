"""Reads a client's events, each of them within bounds.

An event is a line of JSON, then data of `data_length` bytes, then a payload of `payload_length`
(https://github.com/OHF-Voice/wyoming#format). The package's own reader takes as many bytes as the
client names; here audio, the only payload that counts, comes in pieces.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from asr.errors import BadRequest, TooLarge
from asr.http.bodies.values import check_values
from asr.http.invalid_fields import invalid_fields

LINE_BYTES = 64 * 1024  # An event whose line has more bytes is refused.
DATA_BYTES = 64 * 1024  # So is one with more bytes of further data.
PIECE_BYTES = 64 * 1024  # A payload is read in pieces of at most so many bytes.
OTHER_BYTES = 2**20  # A payload that is no audio is passed over, if it has no more bytes.
ESCAPE = b"\\u"  # So JSON writes a letter, or half of one, by its number.
TYPE_CHARS = 100  # A longer type of an event is refused.


class EventLine(BaseModel):
    """The line that begins an event."""

    model_config = ConfigDict(strict=True)

    type: str = Field(max_length=TYPE_CHARS)
    data: dict[str, Any] | None = None
    data_length: int | None = Field(None, ge=0)
    payload_length: int | None = Field(None, ge=0)


@dataclass(frozen=True)
class IncomingEvent:
    """An event whose payload is still to be read."""

    type: str
    data: dict[str, Any]
    payload_length: int  # bytes


class EventReader:
    """Reads events from a stream whose limit is LINE_BYTES."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self._unread = 0  # bytes of the last event's payload

    @property
    def has_payload(self) -> bool:
        """Whether some of the last event's payload is not read yet."""
        return self._unread > 0

    async def next(self) -> IncomingEvent | None:
        """Read the next event, after what is unread of the last one; None: no more will come.

        Raises:
            BadRequest, TooLarge: it is no event, or one with too much in it.
        """
        if self._unread > OTHER_BYTES:
            raise TooLarge(f"a payload that is no audio has more than {OTHER_BYTES} bytes")
        try:
            while await self.piece():
                pass
            line = await self._stream.readuntil()
            found = _object(line, "an event's line")
            check_values(found)
            event = EventLine.model_validate(found)
            data = event.data or {}
            if event.data_length:
                data = {**data, **await self._data(event.data_length)}
                check_values(data)
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError as error:
            raise TooLarge(f"an event's line has more than {LINE_BYTES} bytes") from error
        except ValidationError as error:
            raise unusable("an event's line", error) from error
        self._unread = event.payload_length or 0
        return IncomingEvent(event.type, data, self._unread)

    async def piece(self) -> bytes:
        """The next bytes of the last event's payload; none where it is read.

        Raises:
            asyncio.IncompleteReadError: the client has left.
        """
        if not self._unread:
            return b""
        data = await self._stream.read(min(self._unread, PIECE_BYTES))
        if not data:
            raise asyncio.IncompleteReadError(b"", self._unread)
        self._unread -= len(data)
        return data

    async def rest(self) -> None:
        """Pass over all that still comes."""
        while await self._stream.read(PIECE_BYTES):
            pass

    async def _data(self, size: int) -> dict[str, Any]:
        if size > DATA_BYTES:
            raise TooLarge(f"data_length is {size}: an event has at most {DATA_BYTES} bytes of it")
        return _object(await self._stream.readexactly(size), "an event's data")


def unusable(what: str, error: ValidationError) -> BadRequest:
    """The refusal that names every field which `error` names."""
    found = invalid_fields(error)
    parts = [f"{'.'.join(each.place) or 'it'} {each.reason}" for each in found]
    return BadRequest(f"{what}: {'; '.join(parts)}", next(iter(found[0].place), None))


def _object(text: bytes, what: str) -> dict[str, Any]:
    """The JSON object that `text` is."""
    try:
        found = json.loads(text)
        if ESCAPE in text:  # half a letter, which no answer could repeat, is an error here
            json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadRequest(f"{what} is no JSON object: this port speaks the Wyoming protocol alone")
    return found
