"""The forms and answers of OpenAI's audio API, as they are validated and documented."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from asr.api.fields import (
    CaptionParameters,
    ChannelParameters,
    SegmentParameters,
    VocabularyParameters,
)
from asr.api.openai.chunking_strategy import Strategy, strategy_in
from asr.http.parameters import (
    NAMES,
    REFERENCES,
    AudioFile,
    DecodingParameters,
    KnownSpeakerParameters,
    SpeakerParameters,
    TrackParameters,
)
from asr.options import Task

ResponseFormat = Literal[
    "json", "text", "srt", "verbose_json", "vtt", "lrc", "tsv", "diarized_json", "rttm"
]
Granularity = Literal["segment", "word"]

LISTS = frozenset(
    {"languages", "keywords", "timestamp_granularities", "include", NAMES, REFERENCES}
)
STRATEGY = "chunking_strategy"  # It is JSON, or has a field `chunking_strategy[name]` for each key.

CHANNEL_ANSWER = "With `channels=split`: the number of the channel, from 0"
SPEAKER_ANSWER = "With `diarize`: a label or the name of a known speaker; null if unknown"


class AudioForm(
    DecodingParameters,
    TrackParameters,
    ChannelParameters,
    SpeakerParameters,
    KnownSpeakerParameters,
    CaptionParameters,
    SegmentParameters,
    VocabularyParameters,
):
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
    response_format: ResponseFormat = Field(
        "json",
        description=(
            "`diarized_json` and `rttm` tell who speaks; with `diarize`, so do `verbose_json`, "
            "`srt`, `vtt` and `lrc`"
        ),
    )
    language: str | None = Field(
        None,
        description=(
            "Code (ISO 639-1, -2 or -3), tag or English name of the spoken language; unset: it is "
            "detected"
        ),
    )
    languages: list[str] = Field([], description="Languages that may be detected; unset: all")
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
    strict: bool = Field(False, description="Answer 400, not a warning, if a field has no effect")
    chunking_strategy: Annotated[Strategy | None, BeforeValidator(strategy_in)] = Field(
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
    channel: int | None = Field(None, description=CHANNEL_ANSWER)


class WordAnswer(BaseModel):
    word: str
    start: float = Field(description="Seconds")
    end: float = Field(description="Seconds")
    probability: float | None = None
    speaker: str | None = Field(None, description=SPEAKER_ANSWER, examples=["SPEAKER_00"])
    channel: int | None = Field(None, description=CHANNEL_ANSWER)


class ChannelAnswer(BaseModel):
    channel: int
    language: str = Field(description="English name of its text's language", examples=["spanish"])


class GapAnswer(BaseModel):
    start: float = Field(description="Seconds")
    end: float = Field(description="Seconds")
    reason: str = Field(examples=["no text"])
    channel: int | None = Field(None, description=CHANNEL_ANSWER)


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
    channels: list[ChannelAnswer] | None = Field(None, description="With `channels=split`")
    coverage: CoverageAnswer | None = None
    usage: DurationUsage
    warnings: list[str] | None = Field(
        None, description="Fields that have no effect, and damaged audio"
    )


class DiarizedSegment(BaseModel):
    """What one speaker says without a pause for another one."""

    type: Literal["transcript.text.segment"]
    id: str = Field(examples=["seg_001"])
    start: float = Field(description="Seconds")
    end: float = Field(description="Seconds")
    text: str
    speaker: str = Field(
        description="`A`, `B` and so on in the order in which they begin to speak, or the name of "
        "a known speaker; empty if unknown",
        examples=["A"],
    )


class DiarizedAnswer(BaseModel):
    """`diarized_json`."""

    task: Task
    duration: float = Field(description="Seconds of audio")
    text: str
    segments: list[DiarizedSegment]
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
