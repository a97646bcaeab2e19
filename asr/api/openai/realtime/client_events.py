"""Reads what clients send: events as JSON, with audio in base64."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import BaseModel, Field, ValidationError

from asr.api.openai.realtime import older_dialect
from asr.errors import AsrError, BadRequest, Invalid, TooLarge
from asr.http.bodies import long_string
from asr.http.bodies.long_string import JSON_COMMAS, REST_BYTES, BrokenJson, LongString
from asr.http.bodies.values import check_values
from asr.http.invalid_fields import invalid_fields
from asr.http.openapi import Json
from asr.text import quoted

AUDIO_BYTES = 15 * 2**20  # An append with more bytes of audio is refused, as OpenAI does.
EVENT_ID_CHARS = 512  # An event with a longer id is refused, as OpenAI does.
TYPE_CHARS = 100  # A message shows at most so many characters of a type.
AUDIO = re.compile(rb'"audio"\s*:\s*"')

UPDATE, OLDER_UPDATE = "session.update", "transcription_session.update"
APPEND, COMMIT = "input_audio_buffer.append", "input_audio_buffer.commit"
CLEAR = "input_audio_buffer.clear"
TYPES = (UPDATE, APPEND, COMMIT, CLEAR, OLDER_UPDATE)
# These belong to sessions in which a model answers.
CONVERSATIONS = re.compile(r"(conversation|response|output_audio_buffer)\.")


@dataclass(frozen=True)
class UpdateEvent:
    """Changes the session's configuration."""

    session: Json  # in the words of today's API
    is_older: bool = False  # it came in the beta's words


@dataclass(frozen=True)
class AppendEvent:
    """Brings audio, in pieces: to copy all at once would hold the event loop."""

    pieces: tuple[bytes, ...]


@dataclass(frozen=True)
class CommitEvent:
    """Ends an utterance."""


@dataclass(frozen=True)
class ClearEvent:
    """Forgets the audio that is in no utterance."""


ClientEvent = UpdateEvent | AppendEvent | CommitEvent | ClearEvent


class RefusedEvent(Exception):
    """An event that cannot be carried out; its session goes on."""

    def __init__(self, error: AsrError, event_id: str | None) -> None:
        super().__init__(error.message)
        self.error = error
        self.event_id = event_id  # the client's, where it is known


class EventHead(BaseModel):
    """What all events of clients have."""

    type: str
    event_id: str | None = Field(None, max_length=EVENT_ID_CHARS)


class UpdateBody(EventHead):
    session: dict[str, object]


def read_event(data: bytes) -> tuple[ClientEvent, str | None]:
    """The event in a message, and the id that the client gave it.

    Raises:
        RefusedEvent: it cannot be read, or is none that there is.
    """
    try:
        fields = _fields(data)
    except AsrError as error:
        raise RefusedEvent(error, None) from error
    event_id = fields.get("event_id")
    known_id = event_id if isinstance(event_id, str) else None
    try:
        return _event(fields), known_id
    except ValidationError as error:
        first = invalid_fields(error)[0]
        place = ".".join(first.place)
        refusal = Invalid(f"{place}: {first.reason}", place)
        raise RefusedEvent(refusal, _shown_id(known_id)) from error
    except AsrError as error:
        raise RefusedEvent(error, _shown_id(known_id)) from error


def _shown_id(event_id: str | None) -> str | None:
    return None if event_id is None else event_id[:EVENT_ID_CHARS]


def _fields(data: bytes) -> Json:
    """The JSON object of a message; its audio is a LongString where it is large."""
    try:
        found = long_string.parse(data, AUDIO, "audio")
    except BrokenJson as error:
        raise BadRequest(
            f"the message is not JSON ({error}): send an event as a JSON object in a text "
            "message, or audio as bytes in a binary one"
        ) from error
    except long_string.TooManyValues as error:
        raise TooLarge(f"the event has more than {JSON_COMMAS} values: send fewer") from error
    except long_string.LongRest as error:
        message = f"an event may have at most {REST_BYTES // 2**20} MiB besides its audio"
        raise TooLarge(f"{message}: send less") from error
    if not isinstance(found, dict):
        raise BadRequest(f'the message is not a JSON object: send {{"type": "{APPEND}", ...}}')
    return found


def _event(fields: Json) -> ClientEvent:
    check_values(fields)
    kind = EventHead.model_validate(fields).type
    if kind == APPEND:
        return AppendEvent(_audio(fields))
    if kind == COMMIT:
        return CommitEvent()
    if kind == CLEAR:
        return ClearEvent()
    if kind in {UPDATE, OLDER_UPDATE}:
        session = UpdateBody.model_validate(fields).session
        return UpdateEvent(older_dialect.nested(session), kind == OLDER_UPDATE)
    shown = quoted(kind[:TYPE_CHARS])
    if CONVERSATIONS.match(kind):
        raise BadRequest(
            f"type: {shown} is for sessions in which a model answers, and this server only "
            f"transcribes: leave it out",
            "type",
        )
    raise BadRequest(f"type: {shown} is not known: use one of {', '.join(TYPES)}", "type")


def _audio(fields: Json) -> tuple[bytes, ...]:
    audio = fields.get("audio")
    if isinstance(audio, LongString):
        return decoded(audio.pieces)
    if not isinstance(audio, str):
        reason = "is missing" if audio is None else "must be text"
        raise Invalid(f"audio: {reason}: send the audio's bytes in base64", "audio")
    return decoded([audio])


def decoded(pieces: Iterable[str]) -> tuple[bytes, ...]:
    """The bytes of a text in base64, which comes in pieces of any lengths.

    Raises:
        Invalid: it is not base64.
        TooLarge: it has more than AUDIO_BYTES.
    """
    found: list[bytes] = []
    size = 0
    for quads in _in_fours(pieces):
        try:
            if size % 3:  # padding came before
                raise binascii.Error("text follows its padding")
            found.append(binascii.a2b_base64(quads, strict_mode=True))
        except ValueError as error:
            raise Invalid(
                f"audio: is not base64 ({str(error)[0].lower()}{str(error)[1:]}): write it with "
                "the letters of RFC 4648, section 4, and with padding",
                "audio",
            ) from error
        size += len(found[-1])
        if size > AUDIO_BYTES:
            limit = f"{AUDIO_BYTES // 2**20} MiB"
            raise TooLarge(f"audio: has more than {limit}: send it in several events", "audio")
    return tuple(found)


def _in_fours(pieces: Iterable[str]) -> Iterable[str]:
    """The same text in pieces of whole groups of four letters; only the last may be shorter."""
    rest = ""
    for piece in pieces:
        text = rest + piece
        whole = len(text) - len(text) % 4
        rest = text[whole:]
        if whole:
            yield text[:whole]
    if rest:
        yield rest
