"""The forms and answers of OpenAI's audio API, as they are validated and documented."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from asr.http.parameters import AudioFile, DecodingParameters
from asr.options import Task, VadOptions

ResponseFormat = Literal["json", "text", "srt", "verbose_json", "vtt", "tsv"]
Granularity = Literal["segment", "word"]

LISTS = frozenset({"languages", "keywords", "timestamp_granularities", "include"})
STRATEGY = "chunking_strategy"  # an object: JSON, or a field `chunking_strategy[name]` for each key
LONGEST_MS = 5000  # of what is heard before speech, and of a pause: searched within ten seconds


class Auto(BaseModel):
    """As the server does by itself."""

    model_config = ConfigDict(extra="allow")

    type: Literal["auto"]


class ServerVad(BaseModel):
    """How speech is told from other sounds, and where a recording is cut."""

    model_config = ConfigDict(extra="allow")

    type: Literal["server_vad"]
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description=(
            "Probability from which on a sound is speech; what may be speech is heard from 0.3 "
            "less on; unset: 0.5. Without effect where speech is told by its loudness"
        ),
    )
    prefix_padding_ms: int | None = Field(
        None,
        ge=0,
        le=LONGEST_MS,
        description="Heard ahead of speech that is heard again, having got no text; unset: 300",
    )
    silence_duration_ms: int | None = Field(
        None,
        ge=0,
        le=LONGEST_MS,
        description="A recording is cut amid the quietest stretch of this length; unset: 300",
    )

    @property
    def vad_options(self) -> VadOptions:
        return VadOptions(
            self.threshold, _seconds(self.prefix_padding_ms), _seconds(self.silence_duration_ms)
        )


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _strategy(value: object) -> object:
    """An object as it is; of a text, the JSON in it, or the type that it names."""
    if not isinstance(value, str):
        return value
    if value in {"auto", "server_vad"}:
        return {"type": value}
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):  # the latter: nested too deep
        found = None
    if isinstance(found, dict):
        return found
    raise PydanticCustomError("strategy", "neither auto nor an object of the type server_vad")


def _undiarized(value: object) -> object:
    """A format of OpenAI's that is known, and refused with its own reason."""
    if value == "diarized_json":
        raise PydanticCustomError("diarizer", "diarized_json needs a diarizer, none is loaded here")
    return value


Strategy = Annotated[Auto | ServerVad, Field(discriminator="type")]


class AudioForm(DecodingParameters):
    """What may be asked of audio; fields of other servers are taken as well."""

    model_config = ConfigDict(extra="allow")

    url: str | None = Field(
        None,
        description="Instead of `file`: an http(s) URL, a data URI, or a path in AUDIO_ROOT",
        examples=["https://example.com/audio.mp3"],
    )
    model: str | None = Field(
        None,
        description="Any name: one model is served; with `strict` its own or `whisper-1`",
        examples=["whisper-1"],
    )
    prompt: str = Field("", max_length=10_000, description="Text in the style of the audio")
    hotwords: str = Field("", max_length=10_000, description="Words that occur in the audio")
    response_format: Annotated[ResponseFormat, BeforeValidator(_undiarized)] = "json"
    language: str | None = Field(
        None, description="Code, tag or English name of the spoken language; unset: detected"
    )
    languages: list[str] = Field([], description="The languages that may be spoken")
    keywords: list[str] = Field([], description="Words and names that occur in the audio")
    timestamp_granularities: list[Granularity] = Field(
        [], description="What verbose_json times, and whether subtitles are parted at words"
    )
    include: list[Literal["logprobs"]] = Field(
        [], description="`logprobs`: the tokens and their probabilities, in json and verbose_json"
    )
    stream: bool = Field(False, description="Answer with Server-Sent Events, as text is heard")
    max_line_width: int = Field(42, ge=1, le=1000, description="Letters in a line of srt and vtt")
    max_line_count: int = Field(2, ge=1, le=100, description="Lines in a cue of srt and vtt")
    strict: bool = Field(
        False, description="Answer 400 to whatever cannot be honoured, instead of a warning"
    )
    chunking_strategy: Annotated[Strategy | None, BeforeValidator(_strategy)] = Field(
        None,
        description=(
            "`auto`, or an object of the type `server_vad`, as JSON or as fields "
            "`chunking_strategy[type]` ...; audio is cut at its pauses either way"
        ),
    )


class TranscriptionUpload(AudioForm, AudioFile):
    """A multipart form; lists may be sent as `name[]`, repeated."""


class TranslationUpload(AudioForm, AudioFile):
    """A multipart form; lists may be sent as `name[]`, repeated."""


class DurationUsage(BaseModel):
    type: Literal["duration"]
    seconds: int = Field(description="Seconds of audio, rounded up", examples=[9])


class LogprobAnswer(BaseModel):
    """One token; the bytes of all joined are the text."""

    token: str = Field(examples=[" world"])
    logprob: float = Field(description="Natural logarithm", examples=[-0.02])
    bytes: list[int] = Field(description="UTF-8; a letter may be parted between tokens")


class TextAnswer(BaseModel):
    """`json`."""

    text: str = Field(examples=["hello world"])
    logprobs: list[LogprobAnswer] | None = Field(None, description="With `include[]=logprobs`")
    usage: DurationUsage


class SegmentAnswer(BaseModel):
    id: int
    seek: int = Field(description="Start of the window that it was heard in, in 10 ms")
    start: float = Field(description="Seconds")
    end: float = Field(description="Seconds")
    text: str
    tokens: list[int] = Field(description="Timestamp tokens included; empty where not known")
    temperature: float
    avg_logprob: float = Field(description="Mean over the tokens; 0 where not known")
    compression_ratio: float
    no_speech_prob: float = Field(description="Of the window; 0 where not known")


class WordAnswer(BaseModel):
    word: str
    start: float = Field(description="Seconds")
    end: float = Field(description="Seconds")
    probability: float | None = None


class GapAnswer(BaseModel):
    start: float = Field(description="Seconds")
    end: float = Field(description="Seconds")
    reason: str = Field(examples=["no text"])


class CoverageAnswer(BaseModel):
    """How much of the speech the segments account for."""

    speech: float = Field(description="Seconds of speech in the audio")
    covered: float = Field(description="Seconds of it under a segment")
    gaps: list[GapAnswer] = Field(description="Speech without text")


class VerboseAnswer(BaseModel):
    """`verbose_json`."""

    task: Task
    language: str = Field(description="English name of what the text is in", examples=["english"])
    duration: float = Field(description="Seconds of audio")
    text: str
    segments: list[SegmentAnswer] | None = None
    words: list[WordAnswer] | None = None
    logprobs: list[LogprobAnswer] | None = Field(None, description="With `include[]=logprobs`")
    coverage: CoverageAnswer | None = None
    usage: DurationUsage
    warnings: list[str] | None = Field(None, description="What could not be honoured")


class ErrorObject(BaseModel):
    message: str
    type: str = Field(examples=["invalid_request_error"])
    param: str | None
    code: str | None


class OpenAiProblem(BaseModel):
    """Any failure of these routes."""

    error: ErrorObject


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="When it was loaded, in seconds since 1970")
    owned_by: str


class Models(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]
