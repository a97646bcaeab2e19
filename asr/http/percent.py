"""Decodes percent-encoding (RFC 3986) and URL-encoded forms in small pieces.

One call on a large text would hold the GIL, and with it the event loop, in whatever thread it ran.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from asr.errors import BadRequest

PIECE_BYTES = 64 * 1024  # So many bytes are decoded by one call.
FORM_FIELDS = 100  # A URL-encoded form with more fields is refused.


def unquoted(data: bytes, plus: bytes = b"+") -> Iterator[bytes]:
    """Yield `data` with each %XX as its byte and each + as `plus`, in pieces."""
    start = 0
    while start < len(data):
        end = start + PIECE_BYTES
        if end < len(data) and (sign := data.find(b"%", end - 2, end)) > 0:
            end = sign  # what follows it belongs to it
        yield unquote_to_bytes(data[start:end].replace(b"+", plus))
        start = end


def form_fields(data: bytes | bytearray) -> list[tuple[str, str]]:
    """Names and values of a URL-encoded form, without those whose value is empty.

    Raises:
        BadRequest: it has too many.
    """
    found, count, start = [], 0, 0
    while start < len(data):
        end = data.find(b"&", start)
        end = end if end >= 0 else len(data)
        count += 1
        if count > FORM_FIELDS:
            raise BadRequest(f"the form has more than {FORM_FIELDS} fields: send fewer")
        equals = data.find(b"=", start, end)
        if start <= equals < end - 1:
            found.append((_text(bytes(data[start:equals])), _text(bytes(data[equals + 1 : end]))))
        start = end + 1
    return found


def _text(data: bytes) -> str:
    """The text of a name or a value; bytes that are not UTF-8 become replacement characters."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pieces = [decoder.decode(piece) for piece in unquoted(data, plus=b" ")]
    return "".join([*pieces, decoder.decode(b"", final=True)])
