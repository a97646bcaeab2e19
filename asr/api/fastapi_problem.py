"""A failure in FastAPI's shape, which the clients of servers that are built with it read."""

from __future__ import annotations

from pydantic import BaseModel, Field

from asr.errors import Failure
from asr.http.openapi import Json
from asr.text import printable

MOST_FIELDS = 20  # An answer tells of at most so many invalid fields.
NAME_CHARS = 100  # Of a field's name, which may be the caller's, it shows so many characters.


class FieldProblem(BaseModel):
    type: str = Field(examples=["missing"])
    loc: list[str] = Field(examples=[["body", "url"]])
    msg: str = Field(examples=["is missing"])


def problem(failure: Failure, place: str = "body") -> Json:
    """The JSON of `failure`: `detail` is its message, or a list of the invalid fields.

    Args:
        place: where the fields are, "body" or "query".
    """
    if not failure.fields:
        return {"detail": failure.message}
    return {
        "detail": [
            {
                "type": field.kind,
                "loc": [place, *(printable(name[:NAME_CHARS]) for name in field.place)],
                "msg": field.reason,
            }
            for field in failure.fields[:MOST_FIELDS]
        ]
    }
