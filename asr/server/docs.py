"""The OpenAPI 3.1 document, made from the models that validate the requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openapi_pydantic import OpenAPI
from openapi_pydantic.util import PydanticSchema, construct_open_api_with_schema_class
from pydantic import BaseModel

import asr
from asr.api.health import Health
from asr.api.language import DetectionAnswer, DetectionForm, DetectionParameters, DetectionRequest
from asr.api.native.schemas import AsrAnswer, AsrForm, AsrParameters, AsrRequest, Problem
from asr.api.openai import openapi
from asr.api.openai.openapi import SECURITY
from asr.api.openai.schemas import OpenAiProblem
from asr.http.parameters import EXAMPLE_URL

PROBLEMS = {
    400: "The body, a parameter, the URL or the audio cannot be used",
    401: "The API key is missing or wrong",
    403: "The path or the address is not allowed",
    404: "Nothing lies at the URL or path",
    408: "The body came too slowly",
    413: "More bytes or seconds of audio than the limits allow",
    422: "A field is missing or of the wrong kind",
    429: "Too much audio is waiting; try again after Retry-After seconds",
    500: "The model failed on this audio",
    502: "The far server answered an error or broke off",
    503: "The engine has ended; the instance is to be replaced",
    504: "The far server was too slow",
}
ANSWER_HEADERS = {
    "X-Request-ID": "The request's id, as sent or made up",
    "X-Processing-Time": "Seconds from the request's arrival to the answer",
    "X-Audio-Length": "Seconds of audio",
    "X-Realtime-Factor": "Audio length over processing time",
    "X-Queue-Time": "Seconds that the first window waited for the engine",
    "X-Speech-Coverage": "Share of the speech that segments account for, where it is measured",
    "X-Model-ID": "The model",
    "X-GPU-Name": "The GPU, or `CUDA is not available`",
    "X-Hardware": "Device, dtype and attention kernel, and why they were chosen",
    "X-Salad-Machine-ID": "SALAD_MACHINE_ID",
    "X-Salad-Container-Group-ID": "SALAD_CONTAINER_GROUP_ID",
}

DETECTION_HEADERS = (
    "X-Request-ID",
    "X-Processing-Time",
    "X-Model-ID",
    "X-GPU-Name",
    "X-Hardware",
    "X-Salad-Machine-ID",
    "X-Salad-Container-Group-ID",
)


def document() -> dict[str, Any]:
    """The document as JSON-ready data."""
    described = OpenAPI.model_validate(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "asr-api",
                "version": asr.__version__,
                "description": "Automatic speech recognition: send audio, get text.",
            },
            "paths": {
                "/asr": {"post": _asr()},
                "/detect-language": {"post": _detection("detectLanguage", Problem)},
                "/hc": {"get": _hc()},
                "/health": {"get": _health()},
                "/metrics": {"get": _metrics()},
                **openapi.paths(PROBLEMS, ANSWER_HEADERS),
                **_detections_of_openai(),
            },
            "components": {
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer"},
                    "header": {"type": "apiKey", "in": "header", "name": "x-admin-api-key"},
                }
            },
        }
    )
    whole = construct_open_api_with_schema_class(described)
    found: dict[str, Any] = whole.model_dump(mode="json", by_alias=True, exclude_none=True)
    return found


def _asr() -> dict[str, Any]:
    return {
        "summary": "Transcribe audio",
        "operationId": "transcribe",
        "description": (
            "Takes a JSON object that names the audio, the bytes of an audio file as they are "
            "(any content type, or none), or a multipart form with the part `file`. "
            "The optional keys may come as JSON, form fields or in the query."
        ),
        "parameters": _query(AsrParameters),
        "requestBody": _doors(AsrRequest, AsrForm),
        "responses": {
            "200": {
                "description": "The text and its chunks; silence gives an empty text",
                "headers": _headers(ANSWER_HEADERS),
                "content": {
                    "application/json": _content(AsrAnswer),
                    "application/x-ndjson": {"schema": {"type": "string"}},
                },
            },
            **{str(status): _problem(meaning) for status, meaning in PROBLEMS.items()},
        },
        "security": SECURITY,
    }


def _detections_of_openai() -> dict[str, Any]:
    """The routes of the same kind under the prefixes of OpenAI's dialect, with its failures."""
    found = {}
    for prefix, suffix in openapi.PREFIXES.items():
        for noun, path in (("Audio", "language"), ("Detect", "detect-language")):
            operation = _detection(f"language{noun}{suffix}", OpenAiProblem)
            found[f"{prefix}/audio/{path}"] = {"post": operation}
    return found


def _detection(identity: str, problem: type[BaseModel]) -> dict[str, Any]:
    problems = {status: meaning for status, meaning in PROBLEMS.items() if status != 422}
    if problem is Problem:
        problems = PROBLEMS
    return {
        "summary": "Tell which language is spoken",
        "operationId": identity,
        "description": (
            "Takes audio as `/asr` does and hears the first window in which anything sounds; a "
            "model that knows no languages apart answers 400."
        ),
        "parameters": _query(DetectionParameters),
        "requestBody": _doors(DetectionRequest, DetectionForm),
        "responses": {
            "200": {
                "description": "The probability of each language; nulls where nothing sounds",
                "headers": _headers({name: ANSWER_HEADERS[name] for name in DETECTION_HEADERS}),
                "content": {"application/json": _content(DetectionAnswer)},
            },
            **{str(status): _problem(problems[status], problem) for status in problems},
        },
        "security": SECURITY,
    }


def _doors(request: type[BaseModel], form: type[BaseModel]) -> dict[str, Any]:
    return {
        "required": True,
        "content": {
            "application/json": {
                **_content(request),
                "examples": {"url": {"value": {"url": EXAMPLE_URL}}},
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": _content(form),
        },
    }


def _headers(meanings: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: {"description": meaning, "schema": {"type": "string"}}
        for name, meaning in meanings.items()
    }


def _hc() -> dict[str, Any]:
    return {
        "summary": "Ready to transcribe",
        "operationId": "hc",
        "description": "The port does not answer before the model is loaded and warm.",
        "parameters": [
            {
                "name": "verbose",
                "in": "query",
                "description": "`1` adds what runs: model, hardware, languages",
                "schema": {"type": "string", "enum": ["0", "1"]},
            }
        ],
        "responses": {
            "200": {
                "description": "Ready",
                "content": {"application/json": _content(Health)},
            },
            "503": {
                "description": "The engine has ended; the instance is to be replaced",
                "content": {"application/json": _content(Health)},
            },
        },
    }


def _health() -> dict[str, Any]:
    return {
        "summary": "Ready, without a body",
        "operationId": "health",
        "responses": {
            "200": {"description": "Ready"},
            "503": {"description": "The engine has ended"},
        },
    }


def _metrics() -> dict[str, Any]:
    return {
        "summary": "Metrics in the Prometheus format",
        "operationId": "metrics",
        "responses": {
            "200": {
                "description": "Counters and histograms",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            },
            "401": _problem(PROBLEMS[401]),
        },
        "security": SECURITY,
    }


def _query(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = model.model_json_schema()
    return [
        {
            "name": name,
            "in": "query",
            "description": field.get("description", ""),
            "schema": {key: value for key, value in field.items() if key != "description"},
        }
        for name, field in schema["properties"].items()
    ]


def _content(model: type[BaseModel]) -> dict[str, Any]:
    return {"schema": PydanticSchema(schema_class=model)}


def _problem(meaning: str, shape: type[BaseModel] = Problem) -> dict[str, Any]:
    return {"description": meaning, "content": {"application/json": _content(shape)}}
