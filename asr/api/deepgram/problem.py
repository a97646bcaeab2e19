"""A failure in the shape of Deepgram's API."""

from __future__ import annotations

from collections.abc import Mapping

from asr.errors import Failure
from asr.http.openapi import Json

INVALID_STATUS = 400  # Deepgram answers 400 to invalid parameters, where other dialects say 422.
ERROR_CODES: Mapping[int, str] = {  # Deepgram's own words, where it has one for a status
    400: "Bad Request",
    401: "INVALID_AUTH",
    403: "INSUFFICIENT_PERMISSIONS",
    408: "SLOW_UPLOAD",
    413: "PAYLOAD_TOO_LARGE",
    429: "TOO_MANY_REQUESTS",
    502: "REMOTE_CONTENT_ERROR",
}


def problem(failure: Failure) -> Json:
    """The JSON of `failure`."""
    return failure_json(failure.status, failure.code, failure.message, failure.request_id)


def failure_json(status: int, code: str, message: str, request_id: str) -> Json:
    """What tells of a failure: its code, what went wrong, and of which request."""
    return {
        "err_code": ERROR_CODES.get(status, code.upper()),
        "err_msg": message,
        "request_id": request_id,
    }
