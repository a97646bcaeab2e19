"""`/v1/audio/speakers`: who speaks when; no text is written."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Literal

from aiohttp import web
from pydantic import BaseModel, Field

from asr.api.fields import OneChannelParameters
from asr.api.known_speakers import knowing
from asr.formats.rttm import rttm
from asr.http import openapi, requests
from asr.http.app_keys import TRANSCRIBER
from asr.http.openapi import ANSWER_HEADERS, SECURITY, TEXT, Json
from asr.http.parameters import (
    AudioFile,
    KnownSpeakerParameters,
    Location,
    SpeakerCounts,
    StrictParameters,
    TrackParameters,
    refuse_unknown,
)
from asr.http.responses import answer_headers, log_request, warning_header
from asr.options import Options
from asr.transcript import Transcript
from asr.transcription.scheduled_request import Timings


async def tell_apart(request: web.Request) -> web.Response:
    """Audio by any door in, turns of speakers out."""
    started, timings = time.monotonic(), Timings()
    transcriber = request.app[TRANSCRIBER]
    async with contextlib.AsyncExitStack() as stack:
        source, asked = await requests.read(request, stack, SpeakerRequestParameters)
        refuse_unknown(asked)
        speakers = asked.speaker_options(transcriber.server_info, None, "this route")
        speakers = await knowing(speakers, asked, request, stack)
        options = Options(
            audio_track=asked.audio_track,
            part=asked.part,
            channels=asked.asked_channels,
            speakers=speakers,
        )
        transcript = await transcriber.speakers(source, options, timings)
    kind, text = await asyncio.to_thread(_written, transcript, asked)
    elapsed = time.monotonic() - started
    log_request(request, timings, elapsed)
    headers = answer_headers(request, timings, elapsed) | warning_header(transcript.warnings)
    return web.Response(text=text, content_type=kind, charset="utf-8", headers=headers)


def _written(transcript: Transcript, asked: SpeakerRequestParameters) -> tuple[str, str]:
    """The content type and the text of the answer; ten hours of turns take some 50 ms."""
    turns = transcript.turns or ()
    if asked.response_format == "rttm":
        return "text/plain", rttm(turns)
    labels = dict.fromkeys(turn.speaker.label for turn in turns)  # in the order of their turns
    answer = SpeakersAnswer(
        duration=transcript.duration,
        speakers=list(labels),
        segments=[
            TurnAnswer(
                start=round(turn.start, 3), end=round(turn.end, 3), speaker=turn.speaker.label
            )
            for turn in turns
        ],
        warnings=list(transcript.warnings) or None,
    )
    return "application/json", answer.model_dump_json(exclude_none=True)


def operation(failure: type[BaseModel], invalid_status: int) -> Json:
    """The route as the OpenAPI document describes it, without tags and `operationId`.

    Args:
        failure: the JSON that tells of a failure.
        invalid_status: of a field that is missing or of the wrong kind.
    """
    return {
        "summary": "Tell who speaks when",
        "description": (
            "Takes audio in the same ways as `/asr`, and answers the turns of its speakers, "
            "without any text. Turns of different speakers may overlap. With DIARIZER=off, the "
            "answer is 400."
        ),
        "parameters": openapi.query(SpeakerRequestParameters),
        "requestBody": openapi.audio_body(SpeakerRequest, SpeakerForm),
        "responses": {
            "200": {
                "description": "The turns by their start; silence has none",
                "headers": openapi.headers(ANSWER_HEADERS),
                "content": {
                    "application/json": openapi.content(SpeakersAnswer),
                    "text/plain": TEXT,
                },
            },
            **openapi.problems(failure, invalid_status),
        },
        "security": SECURITY,
    }


class SpeakerRequestParameters(
    StrictParameters,
    TrackParameters,
    OneChannelParameters,
    SpeakerCounts,
    KnownSpeakerParameters,
):
    """Who may speak, how many people do, and the format of the answer; every key is optional."""

    model: str | None = Field(None, description="Any name, because the server has one diarizer")
    response_format: Literal["json", "rttm"] = Field(
        "json", description="`rttm`: a line for each turn, as NIST's and pyannote's tools read it"
    )


class SpeakerRequest(SpeakerRequestParameters, Location):
    """A JSON object with the URL or path of the audio."""


class SpeakerForm(SpeakerRequestParameters, AudioFile):
    """A multipart form with the audio file."""


class TurnAnswer(BaseModel):
    """A stretch of speech of one speaker."""

    start: float = Field(description="Seconds", examples=[0.5])
    end: float = Field(description="Seconds", examples=[2.25])
    speaker: str = Field(
        description="A label or the name of a known speaker", examples=["SPEAKER_00"]
    )


class SpeakersAnswer(BaseModel):
    """Who speaks when; no speakers and no segments where nobody does."""

    duration: float = Field(description="Seconds of audio")
    speakers: list[str] = Field(
        description="In the order in which they begin to speak", examples=[["SPEAKER_00"]]
    )
    segments: list[TurnAnswer]
    warnings: list[str] | None = Field(
        None, description="What of damaged audio is missing, and known speakers who are not heard"
    )
