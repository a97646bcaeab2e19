"""The routes of Insanely Fast Whisper's dialect, as the OpenAPI document describes them."""

from __future__ import annotations

from asr.api.insanely_fast.schemas import CompletedTask, TaskForm, TaskProblem, TaskRequest
from asr.errors import Invalid
from asr.http import openapi
from asr.http.openapi import ANSWER_HEADERS, SECURITY, Json

TAGS = ["Insanely Fast Whisper"]


def creation() -> Json:
    return {
        "tags": TAGS,
        "summary": "Transcribe audio, for Insanely Fast Whisper's clients",
        "operationId": "createTask",
        "description": (
            "Send a JSON object with the URL of the audio, or a multipart form with the part "
            "`audio` or `file`."
        ),
        "requestBody": openapi.audio_body(TaskRequest, TaskForm),
        "responses": {
            "200": {
                "description": "The text and its chunks; silence gives an empty text",
                "headers": openapi.headers(ANSWER_HEADERS),
                "content": {"application/json": openapi.content(CompletedTask)},
            },
            **openapi.problems(TaskProblem, Invalid.status),
        },
        "security": SECURITY,
    }
