"""Reads JSON with one string of many megabytes, in pieces.

The parser holds the GIL, and with it the event loop, until it has read all of its input. So the
string is taken out and read in pieces, and the rest must be small.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass

REST_BYTES = 2**20  # An object with more than this besides its long string is refused.
JSON_COMMAS = 1_000  # An object with more is refused: each of its values is checked.
PIECE_BYTES = 64 * 1024  # So much of a long string is decoded by one call.

# What a JSON string may hold: plain text, characters of UTF-8 and escapes, none of them in part.
STRING_PART = re.compile(
    rb'(?:[^"\\\x80-\xff]++|\\[^u]|\\u[0-9a-fA-F]{4}'
    rb"|[\xc0-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf7][\x80-\xbf]{3})*+"
)


class BrokenJson(ValueError):
    """What was sent cannot be read as JSON; its text is the reason."""


class TooManyValues(ValueError):
    """The JSON has more values than are checked."""


class LongRest(ValueError):
    """The JSON has too much besides its long string."""


@dataclass(frozen=True)
class LongString:
    """A long string, in pieces: to join them would hold the GIL, too."""

    pieces: tuple[str, ...]


def parse(data: bytes | bytearray, opening: re.Pattern[bytes], key: str) -> object:
    """Parse JSON of any length; the value of `key` is a LongString where it is large.

    Args:
        opening: matches up to the quote before the long string.
        key: of the outermost object.

    Raises:
        BrokenJson, TooManyValues, LongRest: it cannot be read.
    """
    if len(data) <= REST_BYTES:
        return _parsed(data)
    start = opening.search(data, 0, REST_BYTES)
    if start is None:
        raise LongRest
    pieces, end = _string(data, start.end())
    stand_in = f"{key}:{uuid.uuid4().hex}"
    if start.end() + len(data) - end > REST_BYTES:
        raise LongRest
    found = _parsed(data[: start.end()] + stand_in.encode() + data[end:])
    if not isinstance(found, dict) or found.get(key) != stand_in:
        raise LongRest
    return {**found, key: LongString(tuple(pieces))}


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
            raise BrokenJson(
                "a string in it has no end, a wrong escape or bytes that are not UTF-8"
            )
        start = end


def _text(data: bytes) -> str:
    try:
        text: str = json.loads(b'"%b"' % data)
    except ValueError as error:
        raise BrokenJson(_reason(error)) from error
    return text


def _parsed(data: bytes | bytearray) -> object:
    if data.count(b",") > JSON_COMMAS:
        raise TooManyValues
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BrokenJson(_reason(error)) from error


def _reason(error: Exception) -> str:
    """Why JSON cannot be read, in the words of its format."""
    if isinstance(error, json.JSONDecodeError):
        return str(error)
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return "a number in it has too many digits"
