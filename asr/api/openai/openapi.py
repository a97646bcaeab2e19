"""The routes of OpenAI's dialect, as the OpenAPI document describes them."""

from __future__ import annotations

from pydantic import BaseModel

from asr.api import language
from asr.api import speakers as turns
from asr.api.openai.problem import INVALID_STATUS
from asr.api.openai.schemas import (
    DiarizedAnswer,
    Model,
    Models,
    OpenAiProblem,
    TextAnswer,
    TranscriptionUpload,
    TranslationUpload,
    VerboseAnswer,
)
from asr.http.openapi import (
    ANSWER_HEADERS,
    PROBLEMS,
    SECURITY,
    TEXT,
    Json,
    content,
    headers,
    problem,
    problems,
)

TAGS = ["OpenAI"]


def transcription() -> Json:
    summary = "Transcribe audio, for OpenAI's clients"
    return _audio(TranscriptionUpload, summary, "createTranscription")


def translation() -> Json:
    summary = "Translate speech in any language into English text"
    return _audio(TranslationUpload, summary, "createTranslation")


def _audio(form: type[BaseModel], summary: str, identity: str) -> Json:
    """A route that takes `form` and answers text."""
    meanings = {**ANSWER_HEADERS, "X-Warnings": "Fields that have no effect, and why"}
    unsupported = {
        "415": problem("The body is not a multipart form, or it is compressed", OpenAiProblem)
    }
    failures = {**problems(OpenAiProblem, INVALID_STATUS), **unsupported}
    return {
        "tags": TAGS,
        "summary": summary,
        "operationId": identity,
        "description": (
            "The fields may come in any order, and the file may have any name. With `stream` the "
            "answer is `transcript.text.delta`, `.segment` and `.done` events. Where speakers are "
            "told apart, all events of segments come at the end, when all voices are known."
        ),
        "requestBody": {"required": True, "content": {"multipart/form-data": content(form)}},
        "responses": {
            "200": {
                "description": "The text, in the requested format",
                "headers": headers(meanings),
                "content": {
                    "application/json": content(TextAnswer, VerboseAnswer, DiarizedAnswer),
                    "text/plain": TEXT,
                    "text/event-stream": TEXT,
                },
            },
            **dict(sorted(failures.items())),
        },
        "security": SECURITY,
    }


def detection() -> Json:
    return {
        **language.operation(OpenAiProblem, INVALID_STATUS),
        "tags": TAGS,
        "operationId": "audioLanguage",
    }


def speakers() -> Json:
    return {
        **turns.operation(OpenAiProblem, INVALID_STATUS),
        "tags": TAGS,
        "operationId": "audioSpeakers",
    }


def models() -> Json:
    return {
        "tags": TAGS,
        "summary": "The model that is served",
        "operationId": "listModels",
        "responses": {
            "200": {
                "description": "A list with one model",
                "content": {"application/json": content(Models)},
            },
            "401": problem(PROBLEMS[401], OpenAiProblem),
        },
        "security": SECURITY,
    }


def model() -> Json:
    return {
        "tags": TAGS,
        "summary": "One model",
        "operationId": "retrieveModel",
        "parameters": [
            {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
        ],
        "responses": {
            "200": {
                "description": "The model is served here; so is `whisper-1`, its other name",
                "content": {"application/json": content(Model)},
            },
            "401": problem(PROBLEMS[401], OpenAiProblem),
            "404": problem("The model is not served here", OpenAiProblem),
        },
        "security": SECURITY,
    }
