"""What is asked of a transcription, what comes back, and what the engine says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class EngineInfo:
    """What the engine runs and what it can do, in words that may be shown to callers."""

    model_id: str
    engine: str  # "pipeline" or "whisper"
    device_name: str  # the GPU's name, or "CUDA is not available"
    hardware: str  # device, dtype and attention kernel, and why
    languages: Mapping[str, str] = field(default_factory=dict)  # code → English name, lower case
    can_translate: bool = False
    can_prompt: bool = False
    has_segments: bool = True  # whether the model itself times its segments
    has_words: bool = False  # whether `timestamps=word` can be honoured
    longest_window: float = 30.0  # seconds that the model can hear at once
