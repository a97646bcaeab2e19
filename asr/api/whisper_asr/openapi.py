"""whisper-asr-webservice's routes, as the OpenAPI document describes them."""

from __future__ import annotations

from asr.api.whisper_asr.schemas import (
    AudioFileForm,
    DetectedLanguage,
    DetectionQuery,
    FileQuery,
    TranscriptionQuery,
    WhisperAsrProblem,
)
from asr.errors import Invalid
from asr.http import openapi
from asr.http.dialect import FORM
from asr.http.openapi import ANSWER_HEADERS, SECURITY, SERVER_HEADERS, TEXT, Json

TAGS = ["whisper-asr-webservice"]
SHARED = (
    "At the shorter path, a form is meant for this route if its file has the name `audio_file`, or "
    "if `encode`, `output`, `initial_prompt`, `vad_filter` or `word_timestamps` is in the query."
)
FILE_HEADERS = {
    "Asr-Engine": "`openai_whisper`, whose JSON it is",
    "Content-Disposition": "A name for the answer: that of the file, and `output`",
}


def transcription() -> Json:
    return {
        **_operation(TranscriptionQuery),
        "summary": "Transcribe a file",
        "operationId": "whisperAsrTranscribe",
        "description": f"Answers as openai/whisper writes its files. {SHARED}",
        "responses": {
            "200": {
                "description": "The file; `text/plain`, whatever the `output` is",
                "headers": openapi.headers({**ANSWER_HEADERS, **FILE_HEADERS}),
                "content": {"text/plain": TEXT},
            },
            **openapi.problems(WhisperAsrProblem, Invalid.status),
        },
    }


def detection() -> Json:
    return {
        **_operation(DetectionQuery),
        "summary": "Detect the language of a file",
        "operationId": "whisperAsrDetectLanguage",
        "description": SHARED,
        "responses": {
            "200": {
                "description": "The language of the first window that is not silent",
                "headers": openapi.headers(SERVER_HEADERS),
                "content": {"application/json": openapi.content(DetectedLanguage)},
            },
            **openapi.problems(WhisperAsrProblem, Invalid.status),
        },
    }


def _operation(query: type[FileQuery]) -> Json:
    return {
        "tags": TAGS,
        "parameters": openapi.query(query),
        "requestBody": {"required": True, "content": {FORM: openapi.content(AudioFileForm)}},
        "security": SECURITY,
    }
