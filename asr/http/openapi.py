"""Building blocks of the OpenAPI document, made from the models that validate requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openapi_pydantic.util import PydanticSchema
from pydantic import BaseModel

from asr.http.parameters import EXAMPLE_URL

Json = dict[str, Any]

# Requests without a key are documented too, because a server without API_KEY takes them.
SECURITY: list[dict[str, list[str]]] = [{}, {"bearer": []}, {"header": []}]
TEXT: Json = {"schema": {"type": "string"}}
PROBLEMS = {
    400: "The body, a parameter, the URL or the audio cannot be used",
    401: "The API key is missing or wrong",
    403: "The path, the address or the page's origin is not allowed",
    404: "There is nothing at the URL or path",
    408: "The body arrived too slowly",
    413: "The body or the audio is larger than the limits allow",
    415: "The body is compressed in a way that is not read, or its format needs a missing ffmpeg",
    421: "The request is for a host name that is not in ALLOWED_HOSTS",
    422: "A field is missing or of the wrong kind",
    429: "Too much audio is waiting, or the client has too many requests in flight; try again "
    "after Retry-After seconds",
    500: "The model or the audio decoder failed on this audio",
    502: "The server of the URL answered an error or closed the connection",
    503: "The engine has ended; this instance must be replaced, unless there is a Retry-After",
    504: "The server of the URL was too slow",
    507: "There is no room on disk for the audio",
}
SERVER_HEADERS = {
    "X-Request-ID": "The request's id: the one that was sent, or a new one",
    "X-Processing-Time": "Seconds from the request's arrival to the answer",
    "X-Model-ID": "The model",
    "X-GPU-Name": "The GPU, or `CUDA is not available`",
    "X-Hardware": "Device, dtype and attention kernel, and why they were chosen",
    "X-Salad-Machine-ID": "SALAD_MACHINE_ID",
    "X-Salad-Container-Group-ID": "SALAD_CONTAINER_GROUP_ID",
}
ANSWER_HEADERS = {
    **SERVER_HEADERS,
    "X-Audio-Length": "Seconds of audio",
    "X-Realtime-Factor": "Audio length divided by processing time",
    "X-Queue-Time": "Seconds that the first window waited for the engine",
    "X-Speech-Coverage": "Share of the speech that the segments cover, where it is measured",
    "X-Warnings": "Fields that have no effect, and what of damaged audio is missing",
}


def audio_body(request: type[BaseModel], form: type[BaseModel]) -> Json:
    """The body of a route that takes audio: JSON with a URL, bytes, or a form."""
    return {
        "required": True,
        "content": {
            "application/json": {
                **content(request),
                "examples": {"url": {"value": {"url": EXAMPLE_URL}}},
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": content(form),
        },
    }


def headers(meanings: Mapping[str, str]) -> Json:
    """The headers of an answer, by their names and meanings."""
    return {name: {"description": meaning, **TEXT} for name, meaning in meanings.items()}


def query(model: type[BaseModel]) -> list[Json]:
    """The fields of `model` as parameters of the query."""
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


def content(*models: type[BaseModel]) -> Json:
    """JSON in the shape of one of `models`."""
    schemas: list[PydanticSchema[Any]] = [PydanticSchema(schema_class=model) for model in models]
    return {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}


def problem(meaning: str, shape: type[BaseModel]) -> Json:
    """The answer of one status of a failure."""
    return {"description": meaning, "content": {"application/json": content(shape)}}


def problems(shape: type[BaseModel], invalid_status: int) -> Json:
    """The failures of a route that takes audio, by status.

    Args:
        shape: the JSON that tells of a failure.
        invalid_status: of a field that is missing or of the wrong kind.
    """
    meanings = {status: meaning for status, meaning in PROBLEMS.items() if status != 422}
    if invalid_status == 422:
        meanings = PROBLEMS
    return {str(status): problem(meaning, shape) for status, meaning in meanings.items()}
