"""The route of Deepgram's API, as the OpenAPI document describes it."""

from __future__ import annotations

from asr.api.deepgram.problem import INVALID_STATUS
from asr.api.deepgram.schemas import (
    LISTS,
    Accepted,
    ListenAnswer,
    ListenForm,
    ListenParameters,
    ListenProblem,
    ListenRequest,
)
from asr.http import openapi
from asr.http.openapi import ANSWER_HEADERS, SECURITY, Json

TAGS = ["Deepgram"]


def transcription() -> Json:
    own = {"dg-request-id": "The same as `request_id`", **ANSWER_HEADERS}
    return {
        "tags": TAGS,
        "summary": "Transcribe audio, for Deepgram's clients",
        "operationId": "listen",
        "description": (
            "The audio is the body, or a JSON object has its URL; all parameters are in the query. "
            "The key may be sent as `Authorization: Token KEY` too. With a `callback`, the answer "
            "is a `request_id`, and the callback gets a POST with the whole answer."
        ),
        "parameters": [
            {**each, "explode": True} if each["name"] in LISTS else each
            for each in openapi.query(ListenParameters)
        ],
        "requestBody": openapi.audio_body(ListenRequest, ListenForm),
        "responses": {
            "200": {
                "description": "The words with their times; silence has none",
                "headers": openapi.headers(own),
                "content": {"application/json": openapi.content(ListenAnswer, Accepted)},
            },
            **openapi.problems(ListenProblem, INVALID_STATUS),
        },
        "security": SECURITY,
    }


def webhooks() -> Json:
    """What the `callback` of a request is sent."""
    body = {"application/json": openapi.content(ListenAnswer, ListenProblem)}
    operation = {
        "tags": TAGS,
        "summary": "A request with a callback has ended",
        "description": "The whole answer, or why there is none; with a job's webhook's headers.",
        "requestBody": {"required": True, "content": body},
        "responses": {"2XX": {"description": "It is not sent again"}},
    }
    return {"callback": {"post": operation}}
