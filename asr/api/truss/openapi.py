"""The routes of JigsawStack's Truss, as the OpenAPI document describes them."""

from __future__ import annotations

from asr.api.jigsaw import DiarizedOutput, PipelineOutput, SplitOutput
from asr.api.truss.schemas import (
    AsyncAnswer,
    AsyncRequest,
    EndedPrediction,
    PredictForm,
    PredictProblem,
    PredictRequest,
)
from asr.errors import Invalid
from asr.http import openapi
from asr.http.openapi import ANSWER_HEADERS, SECURITY, Json

TAGS = ["Truss"]


def prediction() -> Json:
    return {
        "tags": TAGS,
        "summary": "Transcribe audio, for the clients of Insanely Fast Whisper on Truss",
        "operationId": "predict",
        "description": "With TRUSS_ERRORS_AS_200 a failure has its JSON and the status 200.",
        "requestBody": openapi.audio_body(PredictRequest, PredictForm),
        "responses": {
            "200": {
                "description": "The text and its chunks; silence gives an empty text",
                "headers": openapi.headers(ANSWER_HEADERS),
                "content": {
                    "application/json": openapi.content(PipelineOutput, DiarizedOutput, SplitOutput)
                },
            },
            **openapi.problems(PredictProblem, Invalid.status),
        },
        "security": SECURITY,
    }


def later_prediction() -> Json:
    return {
        "tags": TAGS,
        "summary": "Transcribe audio later, and post the output to a webhook",
        "operationId": "asyncPredict",
        "requestBody": {
            "required": True,
            "content": {"application/json": openapi.content(AsyncRequest)},
        },
        "responses": {
            "202": {
                "description": "It is kept",
                "content": {"application/json": openapi.content(AsyncAnswer)},
            },
            **openapi.problems(PredictProblem, Invalid.status),
        },
        "security": SECURITY,
    }


def webhooks() -> Json:
    """What the `webhook_endpoint` of a prediction is sent."""
    body = {"application/json": openapi.content(EndedPrediction)}
    operation = {
        "tags": TAGS,
        "summary": "A prediction has ended",
        "requestBody": {"required": True, "content": body},
        "responses": {"2XX": {"description": "It is not sent again"}},
    }
    return {"prediction": {"post": operation}}
