"""Reads a JSON object that may hold a data URI of many megabytes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from asr.errors import BadRequest, Invalid, TooLarge
from asr.http.bodies import long_string
from asr.http.bodies.long_string import JSON_COMMAS, REST_BYTES, BrokenJson, LongString
from asr.http.bodies.values import check_values

JSON_BYTES = 32 * 2**20  # A larger object is refused; a data URI in it has 24 MiB of audio.

EXAMPLE = '{"url": "..."}'
DATA_URI = re.compile(rb'"url"[ \t\r\n]*:[ \t\r\n]*"(?=data:)', re.IGNORECASE)


@dataclass(frozen=True)
class DataUri:
    """A large data URI, in pieces: to join them would hold the GIL, too."""

    pieces: tuple[str, ...]


def json_object(data: bytes | bytearray, example: str = EXAMPLE) -> dict[str, object]:
    """The object that `data` is; its url is a DataUri where it is large.

    Args:
        example: of such an object, for messages.

    Raises:
        BadRequest, Invalid, TooLarge: it is none, or one with too much in it.
        pydantic.ValidationError: a value in it is none that a field may have.
    """
    try:
        found = long_string.parse(data, DATA_URI, "url")
    except BrokenJson as error:
        raise BadRequest(f"the body is not JSON ({error}): send {example}") from error
    except long_string.TooManyValues as error:
        message = f"the JSON object has more than {JSON_COMMAS} values: send fewer"
        raise TooLarge(message) from error
    except long_string.LongRest as error:
        raise TooLarge(
            f"a JSON object may have at most {REST_BYTES // 2**20} MiB besides a data URI: "
            "send the audio's bytes as the body"
        ) from error
    if not isinstance(found, dict):
        remedy = f"{example} or audio bytes" if example == EXAMPLE else example
        raise Invalid(f"the body is not a JSON object: send {remedy}")
    check_values(found)
    uri = found.get("url")
    return {**found, "url": DataUri(uri.pieces)} if isinstance(uri, LongString) else found
