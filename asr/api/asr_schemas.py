"""The JSON that goes in and out; requests are validated and documented by these models."""

from __future__ import annotations

from pydantic import AliasChoices, BaseModel, Field

from asr.api.fields import ChannelParameters, SegmentParameters, VocabularyParameters
from asr.http.parameters import (
    AudioFile,
    DecodingParameters,
    KnownSpeakerParameters,
    Location,
    SpeakerParameters,
    StrictParameters,
    Texts,
    TrackParameters,
)
from asr.options import Task, Timestamps


class AsrParameters(
    StrictParameters,
    DecodingParameters,
    TrackParameters,
    ChannelParameters,
    SpeakerParameters,
    KnownSpeakerParameters,
    VocabularyParameters,
    SegmentParameters,
):
    """How `/asr` is to transcribe; every key is optional."""

    language: str | None = Field(
        None,
        description=(
            "Code (ISO 639-1, -2 or -3), tag or English name of the spoken language; unset or "
            "`auto`: it is detected"
        ),
        examples=["en"],
    )
    languages: Texts = Field(
        [], description="Languages that may be detected, as a list or with commas; unset: all"
    )
    task: Task = Field(
        "transcribe",
        description="`translate`: the text is English, whatever the spoken language is",
    )
    timestamps: Timestamps = Field(
        "segment", description="One chunk for each segment or for each word; `none`: no chunks"
    )
    prompt: str | None = Field(
        None,
        max_length=10_000,
        description="Text in the style of the audio, or names that occur in it",
    )
    stream: bool = Field(
        False, description="Answer with JSON lines, one event each, while the audio is transcribed"
    )
    is_async: bool = Field(
        False,
        validation_alias=AliasChoices("async", "is_async"),
        description=(
            "`true`: the request becomes a job, and the answer is that of `POST /jobs`, whose keys "
            "may be sent, too"
        ),
    )


class AsrRequest(AsrParameters, Location):
    """A JSON object with the URL or path of the audio."""


class AsrForm(AsrParameters, AudioFile):
    """A multipart form with the audio file."""


class Chunk(BaseModel):
    timestamp: tuple[float, float] = Field(
        description="Start and end, in seconds from the start of the audio", examples=[(0.0, 2.1)]
    )
    text: str = Field(examples=[" hello world"])


class AsrAnswer(BaseModel):
    text: str = Field(description="The whole text; empty for silence", examples=[" hello world"])
    chunks: list[Chunk]


class SpokenChunk(Chunk):
    speaker: str | None = Field(
        description="A label or the name of a known speaker; null if unknown",
        examples=["SPEAKER_00"],
    )


class DiarizedAsrAnswer(AsrAnswer):
    """The answer where speakers are told apart: a chunk ends where the speaker changes."""

    chunks: list[SpokenChunk]  # type: ignore[assignment]  # lists are invariant


class ChannelChunk(Chunk):
    channel: int = Field(description="Number of the channel, from 0", examples=[0])


class SplitAsrAnswer(AsrAnswer):
    """The answer with `channels=split`: the chunks of all channels, by their start."""

    chunks: list[ChannelChunk]  # type: ignore[assignment]  # lists are invariant
