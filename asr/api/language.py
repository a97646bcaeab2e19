"""`/detect-language`: which language is spoken, and how likely each other one is."""

from __future__ import annotations

import contextlib
import logging
import time

from aiohttp import web
from pydantic import BaseModel, Field

from asr.api.fields import OneChannelParameters
from asr.capabilities import EngineInfo
from asr.errors import BadRequest
from asr.http import openapi, requests
from asr.http.app_keys import ENGINE, TRANSCRIBER
from asr.http.openapi import SECURITY, SERVER_HEADERS, Json
from asr.http.parameters import (
    AudioFile,
    Location,
    StrictParameters,
    Texts,
    TrackParameters,
    refuse_unknown,
)
from asr.http.responses import caller, decimals, server_headers
from asr.options import Options
from asr.transcript import LanguageDetection
from asr.transcription.languages import allowed_languages

log = logging.getLogger(__name__)

DIGITS = 6  # Probabilities are rounded to so many decimals.


async def detect(request: web.Request) -> web.Response:
    """Audio by any door in, languages out; no text is written."""
    started = time.monotonic()
    info = request.app[ENGINE].info
    async with contextlib.AsyncExitStack() as stack:
        source, asked = await requests.read(request, stack, DetectionParameters)
        options = _options(asked, info)
        detection = await request.app[TRANSCRIBER].detect(source, options)
    elapsed = time.monotonic() - started
    log.info("%s %s: %s, %.2f s", caller(request), request.path, detection.language, elapsed)
    return web.json_response(
        text=_answer(detection, info).model_dump_json(),
        headers={**server_headers(request), "X-Processing-Time": decimals(elapsed)},
    )


def _options(asked: DetectionParameters, info: EngineInfo) -> Options:
    if not info.languages:
        raise BadRequest(
            f"the model {info.model_id} cannot detect languages: serve a multilingual Whisper "
            "model, or do not use this route"
        )
    refuse_unknown(asked)
    return Options(
        languages=allowed_languages(asked.languages, "languages", info),
        audio_track=asked.audio_track,
        part=asked.part,
        channels=asked.asked_channels,
    )


def _answer(detection: LanguageDetection, info: EngineInfo) -> DetectionAnswer:
    code = detection.language
    likely = sorted(detection.probabilities.items(), key=lambda each: -each[1])
    probabilities = {other: round(probability, DIGITS) for other, probability in likely}
    return DetectionAnswer(
        language=code,
        language_name=info.languages.get(code) if code else None,
        probability=probabilities.get(code) if code else None,
        probabilities=probabilities,
    )


def operation(failure: type[BaseModel], invalid_status: int) -> Json:
    """The route as the OpenAPI document describes it, without tags and `operationId`.

    Args:
        failure: the JSON that tells of a failure.
        invalid_status: of a field that is missing or of the wrong kind.
    """
    return {
        "summary": "Detect the language that is spoken",
        "description": (
            "Takes audio in the same ways as `/asr`, and detects the language of the first window "
            "that is not silent. With a model that cannot detect languages, the answer is 400."
        ),
        "parameters": openapi.query(DetectionParameters),
        "requestBody": openapi.audio_body(DetectionRequest, DetectionForm),
        "responses": {
            "200": {
                "description": "The probability of each language; null if all audio is silent",
                "headers": openapi.headers(SERVER_HEADERS),
                "content": {"application/json": openapi.content(DetectionAnswer)},
            },
            **openapi.problems(failure, invalid_status),
        },
        "security": SECURITY,
    }


class DetectionParameters(StrictParameters, TrackParameters, OneChannelParameters):
    """Which languages may be detected; every key is optional."""

    model: str | None = Field(None, description="Any name, because the server has one model")
    languages: Texts = Field(
        [], description="Languages that may be detected, as a list or with commas; unset: all"
    )


class DetectionRequest(DetectionParameters, Location):
    """A JSON object with the URL or path of the audio."""


class DetectionForm(DetectionParameters, AudioFile):
    """A multipart form with the audio file."""


class DetectionAnswer(BaseModel):
    """The language of the first window that is not silent; null if there is no such window."""

    language: str | None = Field(examples=["en"])
    language_name: str | None = Field(
        description="The language's English name", examples=["english"]
    )
    probability: float | None = Field(description="Probability of `language`", examples=[0.98])
    probabilities: dict[str, float] = Field(
        description="Probability of each language that may be detected, the likeliest first",
        examples=[{"en": 0.98, "es": 0.02}],
    )
