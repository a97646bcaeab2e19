"""The dialect of OpenAI's audio API and of Hugging Face's Whisper endpoints."""

from __future__ import annotations

from asr.errors import Failure

PATHS = ("/v1/", "/api/v1/")
ERROR_CODES = {"unauthorized": "invalid_api_key"}  # ours where OpenAI has a name of its own


def problem(failure: Failure) -> dict[str, object]:
    """A failure as OpenAI tells it; all four keys are there, whatever is known."""
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
