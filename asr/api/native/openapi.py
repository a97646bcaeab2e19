"""The service's own routes about audio, as the OpenAPI document describes them."""

from __future__ import annotations

from asr.api import language
from asr.api.asr_schemas import (
    AsrAnswer,
    AsrForm,
    AsrParameters,
    AsrRequest,
    DiarizedAsrAnswer,
    SplitAsrAnswer,
)
from asr.errors import Invalid
from asr.http import openapi
from asr.http.dialect import Problem
from asr.http.openapi import ANSWER_HEADERS, SECURITY, TEXT, Json

TAGS = ["Transcription"]


def detection() -> Json:
    return {
        **language.operation(Problem, Invalid.status),
        "tags": TAGS,
        "operationId": "detectLanguage",
    }


def transcription() -> Json:
    return {
        "tags": TAGS,
        "summary": "Transcribe audio",
        "operationId": "transcribe",
        "description": (
            "Send a JSON object with the URL of the audio, the bytes of an audio file as the "
            "body (with any content type, or none), or a multipart form with the part `file`. Raw "
            "PCM needs its own type, such as `audio/L16;rate=16000`, for the body or the part. "
            "Options may be JSON keys, form fields or query parameters."
        ),
        "parameters": openapi.query(AsrParameters),
        "requestBody": openapi.audio_body(AsrRequest, AsrForm),
        "responses": {
            "200": {
                "description": "The text and its chunks; silence gives an empty text",
                "headers": openapi.headers(ANSWER_HEADERS),
                "content": {
                    "application/json": openapi.content(
                        AsrAnswer, DiarizedAsrAnswer, SplitAsrAnswer
                    ),
                    "application/x-ndjson": TEXT,
                },
            },
            **openapi.problems(Problem, Invalid.status),
        },
        "security": SECURITY,
    }
