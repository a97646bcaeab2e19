"""The routes of OpenAI's dialect, as the OpenAPI document describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openapi_pydantic.util import PydanticSchema
from pydantic import BaseModel

from asr.api.openai.schemas import (
    Model,
    Models,
    OpenAiProblem,
    TextAnswer,
    TranscriptionUpload,
    TranslationUpload,
    VerboseAnswer,
)

PREFIXES = {"/v1": "", "/api/v1": "UnderApi"}  # and what makes their operations' ids unique
SECURITY: list[dict[str, list[str]]] = [{}, {"bearer": []}, {"header": []}]
TEXT = {"schema": {"type": "string"}}

Json = dict[str, Any]


def paths(problems: Mapping[int, str], headers: Mapping[str, str]) -> Json:
    """The operations by path and method.

    Args:
        problems: what each status of a failed transcription means.
        headers: what each header of a transcription means.
    """
    found: Json = {}
    for prefix, suffix in PREFIXES.items():
        for noun, form, what in (
            ("Transcription", TranscriptionUpload, "Transcribe audio, as OpenAI's clients ask"),
            ("Translation", TranslationUpload, "Write in English what is said in any language"),
        ):
            operation = _audio(form, what, f"create{noun}{suffix}", problems, headers)
            found[f"{prefix}/audio/{noun.lower()}s"] = {"post": operation}
        found[f"{prefix}/models"] = {"get": _models(f"listModels{suffix}")}
        found[f"{prefix}/models/{{id}}"] = {"get": _model(f"retrieveModel{suffix}")}
    return found


def _audio(
    form: type[BaseModel],
    summary: str,
    identity: str,
    problems: Mapping[int, str],
    headers: Mapping[str, str],
) -> Json:
    described = {**headers, "X-Warnings": "What was asked and could not be honoured"}
    unsupported = {415: "The body is no multipart form"}
    statuses = {**problems, **unsupported}
    del statuses[422]  # a field that cannot be used is a 400 here, as it is at OpenAI
    return {
        "summary": summary,
        "operationId": identity,
        "description": (
            "The fields may come in any order, the file under any name. With `stream` the answer "
            "is `transcript.text.delta`, `.segment` and `.done` events."
        ),
        "requestBody": {"required": True, "content": {"multipart/form-data": _content(form)}},
        "responses": {
            "200": {
                "description": "The text, in the format that was asked",
                "headers": {
                    name: {"description": meaning, "schema": {"type": "string"}}
                    for name, meaning in described.items()
                },
                "content": {
                    "application/json": _content(TextAnswer, VerboseAnswer),
                    "text/plain": TEXT,
                    "text/event-stream": TEXT,
                },
            },
            **{str(status): _problem(statuses[status]) for status in sorted(statuses)},
        },
        "security": SECURITY,
    }


def _models(identity: str) -> Json:
    return {
        "summary": "The model that is served",
        "operationId": identity,
        "responses": {
            "200": {
                "description": "A list of one",
                "content": {"application/json": _content(Models)},
            },
            "401": _problem("The API key is missing or wrong"),
        },
        "security": SECURITY,
    }


def _model(identity: str) -> Json:
    return {
        "summary": "One model",
        "operationId": identity,
        "parameters": [
            {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
        ],
        "responses": {
            "200": {
                "description": "It is served",
                "content": {"application/json": _content(Model)},
            },
            "401": _problem("The API key is missing or wrong"),
            "404": _problem("It is not served here"),
        },
        "security": SECURITY,
    }


def _content(*models: type[BaseModel]) -> Json:
    schemas: list[PydanticSchema[Any]] = [PydanticSchema(schema_class=model) for model in models]
    return {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}


def _problem(meaning: str) -> Json:
    return {"description": meaning, "content": {"application/json": _content(OpenAiProblem)}}
