"""Reads a JSON object that may hold a data URI of many megabytes.

The parser holds the GIL, and with it the event loop, until it has read all of its input. So the
data URI is taken out of a large object and read in pieces, and the rest must be small.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass

from asr.errors import BadRequest, Invalid, TooLarge

JSON_BYTES = 32 * 2**20  # A larger object is refused; a data URI in it has 24 MiB of audio.
REST_BYTES = 2**20  # An object with more than this besides its data URI is refused.
JSON_COMMAS = 1_000  # An object with more is refused: each of its values is checked.
PIECE_BYTES = 64 * 1024  # So much of a data URI is decoded by one call.

DATA_URI = re.compile(rb'"(?=data:)', re.IGNORECASE)
# What a JSON string may hold: plain text, characters of UTF-8 and escapes, none of them in part.
STRING_PART = re.compile(
    rb'(?:[^"\\\x80-\xff]++|\\[^u]|\\u[0-9a-fA-F]{4}'
    rb"|[\xc0-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf7][\x80-\xbf]{3})*+"
)


@dataclass(frozen=True)
class DataUri:
    """A large data URI, in pieces: to join them would hold the GIL, too."""

    pieces: tuple[str, ...]


def json_object(data: bytes | bytearray) -> dict[str, object]:
    """The object that `data` is; its url is a DataUri where it is large.

    Raises:
        BadRequest, Invalid, TooLarge: it is none, or one with too much in it.
    """
    if len(data) <= REST_BYTES:
        return _parsed(data)
    start = DATA_URI.search(data, 0, REST_BYTES)
    if start is None:
        raise _too_large()
    pieces, end = _string(data, start.end())
    stand_in = f"data:{uuid.uuid4().hex}"
    if start.end() + len(data) - end > REST_BYTES:
        raise _too_large()
    found = _parsed(data[: start.end()] + stand_in.encode() + data[end:])
    if found.get("url") != stand_in:
        raise _too_large()
    return {**found, "url": DataUri(tuple(pieces))}


def _string(data: bytes | bytearray, start: int) -> tuple[list[str], int]:
    """The text of a string, in parts, and where its last quote is."""
    parts: list[str] = []
    while True:
        match = STRING_PART.match(data, start, start + PIECE_BYTES)
        assert match is not None  # it may be empty
        parts.append(_text(bytes(match[0])))
        end = match.end()
        if data[end : end + 1] == b'"':
            return parts, end
        if end == start:
            raise _broken("a string in it has no end, a wrong escape or bytes that are not UTF-8")
        start = end


def _text(data: bytes) -> str:
    try:
        text: str = json.loads(b'"%b"' % data)
    except ValueError as error:
        raise _broken(_reason(error)) from error
    return text


def _parsed(data: bytes | bytearray) -> dict[str, object]:
    if data.count(b",") > JSON_COMMAS:
        raise TooLarge(f"the JSON object has more than {JSON_COMMAS} values: send fewer")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _broken(_reason(error)) from error
    if not isinstance(found, dict):
        raise Invalid('the body is not a JSON object: send {"url": "..."} or audio bytes')
    return found


def _broken(reason: str) -> BadRequest:
    return BadRequest(f'the body is not JSON ({reason}): send {{"url": "..."}}')


def _reason(error: Exception) -> str:
    """Why JSON cannot be read, in the words of its format."""
    if isinstance(error, json.JSONDecodeError):
        return str(error)
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return "a number in it has too many digits"


def _too_large() -> TooLarge:
    return TooLarge(
        f"a JSON object may have at most {REST_BYTES // 2**20} MiB besides a data URI: "
        "send the audio's bytes as the body"
    )
