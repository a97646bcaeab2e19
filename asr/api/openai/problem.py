"""A failure in the shape of OpenAI's API."""

from __future__ import annotations

from asr.errors import Failure
from asr.http.openapi import Json

INVALID_STATUS = 400  # OpenAI answers 400 to invalid fields, where other dialects answer 422.
ERROR_CODES = {"unauthorized": "invalid_api_key"}  # OpenAI has its own name for these codes.


def problem(failure: Failure) -> Json:
    """The JSON of `failure`: always all four keys, null where nothing is known."""
    return {
        "error": {
            "message": failure.message,
            "type": _kind(failure.status),
            "param": failure.param,
            "code": ERROR_CODES.get(failure.code, failure.code),
        }
    }


def _kind(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"
