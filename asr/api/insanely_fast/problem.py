"""A failure in the shape of Insanely Fast Whisper's API, which is FastAPI's."""

from __future__ import annotations

from asr.errors import Failure
from asr.http.openapi import Json
from asr.text import printable

MOST_FIELDS = 20  # An answer tells of at most so many invalid fields.
NAME_CHARS = 100  # Of a field's name, which may be the caller's, it shows so many characters.


def problem(failure: Failure) -> Json:
    """The JSON of `failure`: `detail` is its message, or a list of the invalid fields."""
    if not failure.fields:
        return {"detail": failure.message}
    return {
        "detail": [
            {
                "type": field.kind,
                "loc": ["body", *(printable(name[:NAME_CHARS]) for name in field.place)],
                "msg": field.reason,
            }
            for field in failure.fields[:MOST_FIELDS]
        ]
    }
