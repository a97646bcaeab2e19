"""What JigsawStack's two APIs have in common: their parameters, and the pipeline's output."""

from __future__ import annotations

import asyncio
import contextlib
from typing import ClassVar, TypeVar

from aiohttp import web
from pydantic import BaseModel, Field, model_validator

from asr.api.fields import ChannelParameters, SegmentParameters, VocabularyParameters
from asr.api.jigsaw_jobs import RequestAudio
from asr.audio.streams import Source
from asr.capabilities import EngineInfo, ServerInfo
from asr.config.config import Config
from asr.errors import BadUrl
from asr.formats.json_text import json_text
from asr.formats.pipeline_json import Json, pipeline_json
from asr.http import requests
from asr.http.app_keys import CONFIG, ENGINE, TRANSCRIBER
from asr.http.bodies.json_object import DataUri
from asr.http.parameters import SpeakerCounts
from asr.options import Options, Task, Timestamps
from asr.transcript import Transcript
from asr.transcription.languages import language_code, overruled


class JigsawParameters(ChannelParameters, SpeakerCounts, SegmentParameters, VocabularyParameters):
    """How audio is to be transcribed; keys that are null or empty count as not sent."""

    AUDIO_PARTS: ClassVar[tuple[str, ...]] = ("audio", "file")

    task: Task = Field(
        "transcribe",
        description="`translate`: the text is English, whatever the spoken language is",
    )
    language: str | None = Field(
        None,
        description=(
            "Code (ISO 639-1, -2 or -3), tag or English name of the spoken language; unset or "
            "`None`: it is detected"
        ),
        examples=["en"],
    )
    batch_size: int = Field(64, description="No effect: the server itself makes the batches")
    diarise_audio: bool = Field(
        False, description="`true`: the output has `speakers`; no token is needed"
    )

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, fields: object) -> object:
        if not isinstance(fields, dict):
            return fields
        return {name: value for name, value in fields.items() if value not in (None, "")}

    @property
    def timestamps(self) -> Timestamps:
        """What chunks are asked for."""
        raise NotImplementedError


class PipelineChunk(BaseModel):
    timestamp: tuple[float, float] = Field(
        description="Start and end, in seconds from the start of the audio", examples=[(0.0, 2.1)]
    )
    text: str = Field(examples=[" hello world"])


class ChannelChunkOutput(PipelineChunk):
    channel: int = Field(description="Its number, from 0", examples=[0])


class SpeakerChunk(PipelineChunk):
    speaker: str = Field(examples=["SPEAKER_00"])


class PipelineOutput(BaseModel):
    """What Transformers' pipeline makes of audio."""

    text: str = Field(description="The whole text; empty for silence", examples=[" hello world"])
    chunks: list[PipelineChunk]


class DiarizedOutput(PipelineOutput):
    """The same with `diarise_audio`: a chunk ends where the speaker changes."""

    speakers: list[SpeakerChunk] = Field(
        description="Each chunk with its speaker, where one is known; silence has none"
    )


class SplitOutput(PipelineOutput):
    """The same with `channels=split`: the chunks of all channels, by their start."""

    chunks: list[ChannelChunkOutput]  # type: ignore[assignment]  # lists are invariant


Parameters = TypeVar("Parameters", bound=JigsawParameters)


async def read(
    request: web.Request, stack: contextlib.AsyncExitStack, kind: type[Parameters]
) -> tuple[RequestAudio, Parameters]:
    """The request's audio and its parameters.

    Raises:
        CallerError: the audio cannot be had.
        pydantic.ValidationError: a parameter cannot be used.
    """
    door = UrlDoor(request, stack)
    source, asked = await requests.read(request, stack, kind, door)
    return RequestAudio(source, door.url), asked


class UrlDoor(requests.NotedDoor):
    """Audio that may be transcribed at once or kept; its URL is noted, and must be one."""

    def __init__(self, request: web.Request, stack: contextlib.AsyncExitStack) -> None:
        super().__init__(request, stack)
        self._config = request.app[CONFIG]

    async def located(self, url: str | DataUri) -> Source:
        check_url(url, self._config)
        return await super().located(url)


def check_url(url: str | DataUri, config: Config) -> None:
    """Refuse what is no URL, in JigsawStack's words; a path may be one where AUDIO_ROOT is set.

    Raises:
        BadUrl: it is none.
    """
    if isinstance(url, DataUri) or config.audio_root is not None:
        return
    if url.partition(":")[0].lower() not in {"http", "https", "data"}:
        raise BadUrl(
            "Invalid URL: 'url' must begin with http:// or https://, or be a data URI; paths "
            "need AUDIO_ROOT on the server",
            "url",
        )


def options(asked: JigsawParameters, info: EngineInfo, server: ServerInfo) -> Options:
    """The options that are asked for.

    Raises:
        BadRequest: speakers are to be told apart, and cannot be.
    """
    has_speakers = asked.diarise_audio
    return Options(
        language=language_code(asked.language, info),
        task=asked.task,
        timestamps=asked.timestamps,
        vocabulary=asked.vocabulary,
        segment_length=asked.segment_length_s,
        channels=asked.asked_channels,
        speakers=asked.speaker_options(server, "diarise_audio") if has_speakers else None,
    )


def overruled_language(request: web.Request, asked: JigsawParameters) -> list[str]:
    """What of the request has no effect, a sentence each."""
    forced = request.app[TRANSCRIBER].server_info.forced_language
    if not overruled(forced, asked.language, (), request.app[ENGINE].info):
        return []
    return [f"language has no effect: the server has LANGUAGE_FORCE={forced}"]


async def written(transcript: Transcript, timestamps: Timestamps, **around: object) -> str:
    """The output as JSON; with `around`, as the key `output` of these.

    A thread writes it, because four hours of words take 200 ms.
    """

    def write() -> str:
        output: Json = pipeline_json(transcript, timestamps)
        return json_text({"output": output, **around} if around else output, ensure_ascii=False)

    return await asyncio.to_thread(write)
