"""A failure in the shape of whisper-asr-webservice, which is FastAPI's."""

from __future__ import annotations

from asr.api import fastapi_problem
from asr.api.whisper_asr.schemas import AUDIO_FILE
from asr.errors import Failure, Invalid
from asr.http.openapi import Json


def problem(failure: Failure) -> Json:
    """The JSON of `failure`: `detail` is its message, or a list of what cannot be used."""
    if failure.status != Invalid.status or failure.param is None or failure.fields:
        return fastapi_problem.problem(failure, "query")
    is_file = failure.param == AUDIO_FILE
    return {
        "detail": [
            {
                "type": "missing" if is_file else "value_error",
                "loc": ["body" if is_file else "query", failure.param],
                "msg": failure.message,
            }
        ]
    }
