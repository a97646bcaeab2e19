"""Reads a JSON object that may hold a data URI of many megabytes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from asr.errors import BadRequest, Invalid, TooLarge
from asr.http.bodies import long_string
from asr.http.bodies.long_string import JSON_COMMAS, REST_BYTES, BrokenJson, LongString

JSON_BYTES = 32 * 2**20  # A larger object is refused; a data URI in it has 24 MiB of audio.

DATA_URI = re.compile(rb'"(?=data:)', re.IGNORECASE)


@dataclass(frozen=True)
class DataUri:
    """A large data URI, in pieces: to join them would hold the GIL, too."""

    pieces: tuple[str, ...]


def json_object(data: bytes | bytearray) -> dict[str, object]:
    """The object that `data` is; its url is a DataUri where it is large.

    Raises:
        BadRequest, Invalid, TooLarge: it is none, or one with too much in it.
    """
    try:
        found = long_string.parse(data, DATA_URI, "url")
    except BrokenJson as error:
        raise BadRequest(f'the body is not JSON ({error}): send {{"url": "..."}}') from error
    except long_string.TooManyValues as error:
        message = f"the JSON object has more than {JSON_COMMAS} values: send fewer"
        raise TooLarge(message) from error
    except long_string.LongRest as error:
        raise TooLarge(
            f"a JSON object may have at most {REST_BYTES // 2**20} MiB besides a data URI: "
            "send the audio's bytes as the body"
        ) from error
    if not isinstance(found, dict):
        raise Invalid('the body is not a JSON object: send {"url": "..."} or audio bytes')
    uri = found.get("url")
    return {**found, "url": DataUri(uri.pieces)} if isinstance(uri, LongString) else found
