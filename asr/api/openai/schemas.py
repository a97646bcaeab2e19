"""The forms and answers of OpenAI's audio API, as they are validated and documented."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from asr.http.parameters import AudioFile, DecodingParameters, TrackParameters
from asr.options import Task, VadOptions

ResponseFormat = Literal["json", "text", "srt", "verbose_json", "vtt", "tsv"]
Granularity = Literal["segment", "word"]

LISTS = frozenset({"languages", "keywords", "timestamp_granularities", "include"})
STRATEGY = "chunking_strategy"  # It is JSON, or has a field `chunking_strategy[name]` for each key.
LONGEST_MS = 5000  # A longer padding or pause is refused: a cut is searched within ten seconds.

SPEAKER_ANSWER = "With `diarize`: a label or the name of a known speaker; null if unknown"


class Auto(BaseModel):
    """The server's default threshold and pauses are used."""

    model_config = ConfigDict(extra="allow")

    type: Literal["auto"]


class ServerVad(BaseModel):
    """How speech is detected, and where a recording is cut."""

    model_config = ConfigDict(extra="allow")

    type: Literal["server_vad"]
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description=(
            "Audio with at least this probability of speech counts as speech; unset: 0.5. Audio "
            "with up to 0.3 less may be speech, and is transcribed too. No effect with VAD=energy"
        ),
    )
    prefix_padding_ms: int | None = Field(
        None,
        ge=0,
        le=LONGEST_MS,
        description="Speech without text is decoded again from this long before it; unset: 300",
    )
    silence_duration_ms: int | None = Field(
        None,
        ge=0,
        le=LONGEST_MS,
        description=(
            "A recording is cut in the middle of its quietest part of this length; unset: 300"
        ),
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
    raise PydanticCustomError("strategy", "must be auto or an object of the type server_vad")


def _undiarized(value: object) -> object:
    """A format of OpenAI's that is known, and refused with its own reason."""
    if value == "diarized_json":
        raise PydanticCustomError(
            "diarizer", "diarized_json needs a diarizer, and this server has none"
        )
    return value


Strategy = Annotated[Auto | ServerVad, Field(discriminator="type")]


class AudioForm(DecodingParameters, TrackParameters):
    """What may be asked of audio; fields of other servers are taken as well."""

    model_config = ConfigDict(extra="allow")

    url: str | None = Field(
        None,
        description="Instead of `file`: an http(s) URL, a data URI, or a path in AUDIO_ROOT",
        examples=["https://example.com/audio.mp3"],
    )
    model: str | None = Field(
        None,
        description=(
            "Any name, because the server has one model; with `strict`, the name of that model "
            "or `whisper-1`"
        ),
        examples=["whisper-1"],
    )
    prompt: str = Field("", max_length=10_000, description="Text in the style of the audio")
    hotwords: str = Field("", max_length=10_000, description="Words that occur in the audio")
    response_format: Annotated[ResponseFormat, BeforeValidator(_undiarized)] = "json"
    language: str | None = Field(
        None,
        description=(
            "Code (ISO 639-1, -2 or -3), tag or English name of the spoken language; unset: it is "
            "detected"
        ),
    )
    languages: list[str] = Field([], description="Languages that may be detected; unset: all")
    keywords: list[str] = Field([], description="Words and names that occur in the audio")
    timestamp_granularities: list[Granularity] = Field(
        [],
        description="What has timestamps in verbose_json; `word`: subtitles are divided at words",
    )
    include: list[Literal["logprobs"]] = Field(
        [], description="`logprobs`: json and verbose_json have each token and its log-probability"
    )
    stream: bool = Field(
        False, description="Answer with Server-Sent Events, while the audio is transcribed"
    )
    max_line_width: int = Field(
        42, ge=1, le=1000, description="Maximum number of characters in a line of srt and vtt"
    )
    max_line_count: int = Field(
        2, ge=1, le=100, description="Maximum number of lines in a cue of srt and vtt"
    )
    strict: bool = Field(False, description="Answer 400, not a warning, if a field has no effect")
    chunking_strategy: Annotated[Strategy | None, BeforeValidator(_strategy)] = Field(
        None,
        description=(
            "`auto`, or an object of the type `server_vad`, as JSON or as fields "
            "`chunking_strategy[type]` ...; in both cases, audio is cut at its pauses"
        ),
    )


class TranscriptionUpload(AudioForm, AudioFile):
    """A multipart form; a list may be sent as repeated fields `name[]`."""


class TranslationUpload(AudioForm, AudioFile):
    """A multipart form; a list may be sent as repeated fields `name[]`."""


class DurationUsage(BaseModel):
    type: Literal["duration"]
    seconds: int = Field(description="Seconds of audio, rounded up", examples=[9])


class LogprobAnswer(BaseModel):
    """One token; the bytes of all tokens together are the text."""

    token: str = Field(examples=[" world"])
    logprob: float = Field(description="Natural logarithm", examples=[-0.02])
    bytes: list[int] = Field(
        description="The token in UTF-8; a letter may be split between two tokens"
    )


class TextAnswer(BaseModel):
    """`json`."""

    text: str = Field(examples=["hello world"])
    logprobs: list[LogprobAnswer] | None = Field(None, description="With `include[]=logprobs`")
    usage: DurationUsage


class SegmentAnswer(BaseModel):
    id: int
    seek: int = Field(description="Start of the segment's window, in units of 10 ms")
    start: float = Field(description="Seconds")
    end: float = Field(description="Seconds")
    text: str
    tokens: list[int] = Field(description="Token ids, timestamps included; empty if unknown")
    temperature: float
    avg_logprob: float = Field(description="Mean over the tokens; 0 if unknown")
    compression_ratio: float
    no_speech_prob: float = Field(
        description="Probability that the window has no speech; 0 if unknown"
    )
    speaker: str | None = Field(None, description=SPEAKER_ANSWER, examples=["SPEAKER_00"])


class WordAnswer(BaseModel):
    word: str
    start: float = Field(description="Seconds")
    end: float = Field(description="Seconds")
    probability: float | None = None
    speaker: str | None = Field(None, description=SPEAKER_ANSWER, examples=["SPEAKER_00"])


class GapAnswer(BaseModel):
    start: float = Field(description="Seconds")
    end: float = Field(description="Seconds")
    reason: str = Field(examples=["no text"])


class CoverageAnswer(BaseModel):
    """How much of the speech the segments cover."""

    speech: float = Field(description="Seconds of speech in the audio")
    covered: float = Field(description="Seconds of speech that segments cover")
    gaps: list[GapAnswer] = Field(description="Speech without text")


class VerboseAnswer(BaseModel):
    """`verbose_json`."""

    task: Task
    language: str = Field(description="English name of the text's language", examples=["english"])
    duration: float = Field(description="Seconds of audio")
    text: str
    segments: list[SegmentAnswer] | None = None
    words: list[WordAnswer] | None = None
    logprobs: list[LogprobAnswer] | None = Field(None, description="With `include[]=logprobs`")
    coverage: CoverageAnswer | None = None
    usage: DurationUsage
    warnings: list[str] | None = Field(
        None, description="Fields that have no effect, and damaged audio"
    )


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
    created: int = Field(description="Start of the server, in seconds since 1970")
    owned_by: str


class Models(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]
