"""What is asked of a transcription and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Task = Literal["transcribe", "translate"]
Timestamps = Literal["segment", "word", "none"]


@dataclass(frozen=True)
class Options:
    """How a caller wants the audio transcribed; equal options may share a batch."""

    language: str | None = None  # code such as "en"; None: detect it
    task: Task = "transcribe"
    timestamps: Timestamps = "segment"
    prompt: str | None = None
    temperature: float = 0.0  # 0: greedy


@dataclass(frozen=True)
class Word:
    text: str  # with its leading space, as the model wrote it
    start: float  # seconds
    end: float  # seconds
    probability: float | None = None


@dataclass(frozen=True)
class Segment:
    start: float  # seconds
    end: float  # seconds
    text: str  # with its leading space, as the model wrote it
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Transcript:
    """The whole answer: `text` is the segments' texts joined, nothing else."""

    segments: tuple[Segment, ...]
    language: str | None  # code; None where the model does not say
    duration: float  # seconds of audio decoded

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments)
