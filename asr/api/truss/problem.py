"""A failure in the shape of JigsawStack's Truss."""

from __future__ import annotations

from asr.errors import Failure
from asr.http.openapi import Json


def problem(failure: Failure) -> Json:
    """The JSON of `failure`."""
    return {"error": True, "detail": failure.message}
