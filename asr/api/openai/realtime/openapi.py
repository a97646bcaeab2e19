"""The Realtime API's routes, as the OpenAPI document describes them."""

from __future__ import annotations

from asr.api.openai.problem import INVALID_STATUS
from asr.api.openai.realtime.client_events import TYPES
from asr.api.openai.realtime.client_secrets import SecretAnswer, SecretDescription
from asr.api.openai.schemas import OpenAiProblem
from asr.http.openapi import PROBLEMS, SECURITY, Json, content, problem, problems

TAGS = ["OpenAI"]
OF_SECRETS = ("400", "401", "403", "408", "413", "415", "421", "429", "503")  # statuses
TYPES_SENT = (
    "session.created",
    "session.updated",
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "input_audio_buffer.cleared",
    "conversation.item.added",
    "conversation.item.done",
    "conversation.item.input_audio_transcription.delta",
    "conversation.item.input_audio_transcription.segment",
    "conversation.item.input_audio_transcription.completed",
    "conversation.item.input_audio_transcription.failed",
    "error",
)


def live() -> Json:
    """The WebSocket; OpenAPI describes no more of it than its request."""
    return {
        "tags": TAGS,
        "summary": "Transcribe while somebody speaks: OpenAI's Realtime API, by WebSocket",
        "operationId": "realtime",
        "description": (
            f"Messages are JSON. The client sends {_listed(TYPES)}, or audio as binary messages. "
            f"The server sends {_listed(TYPES_SENT)}. In place of a header, the key may be in the "
            "subprotocol `openai-insecure-api-key.KEY`, offered behind `realtime`; it may be a "
            "client secret."
        ),
        "parameters": [
            _parameter(
                "intent", "What the session does", {"type": "string", "enum": ["transcription"]}
            ),
            _parameter("model", "Any name, because the server has one model", {"type": "string"}),
        ],
        "responses": {
            "101": {"description": "The connection is a WebSocket from here on"},
            "400": problem("A parameter or the handshake cannot be used", OpenAiProblem),
            "401": problem(PROBLEMS[401], OpenAiProblem),
            "403": problem(PROBLEMS[403], OpenAiProblem),
            "421": problem(PROBLEMS[421], OpenAiProblem),
            "426": problem("The request opens no WebSocket", OpenAiProblem),
            "429": problem("Too many live sessions are open; see Retry-After", OpenAiProblem),
            "503": problem(PROBLEMS[503], OpenAiProblem),
        },
        "security": SECURITY,
    }


def client_secret() -> Json:
    failures = problems(OpenAiProblem, INVALID_STATUS)
    return {
        "tags": TAGS,
        "summary": "Make a client secret, which opens live sessions for a short time",
        "operationId": "createClientSecret",
        "description": (
            "For browsers, which must not have the API key. It opens `/v1/realtime` alone, as "
            "often as is wanted until it expires; servers with the same API keys take it as well."
        ),
        "requestBody": {"content": {"application/json": content(SecretDescription)}},
        "responses": {
            "200": {
                "description": "The secret",
                "content": {"application/json": content(SecretAnswer)},
            },
            **{status: failures[status] for status in OF_SECRETS},
        },
        "security": SECURITY,
    }


def _listed(types: tuple[str, ...]) -> str:
    return ", ".join(f"`{each}`" for each in types)


def _parameter(name: str, meaning: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "description": meaning, "schema": schema}
