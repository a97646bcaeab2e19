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
    """Timed text; the engine leaves at their defaults what it does not know."""

    start: float  # seconds
    end: float  # seconds
    text: str  # with its leading space, as the model wrote it
    words: tuple[Word, ...] = ()
    tokens: tuple[int, ...] = ()  # as the model wrote them, timestamps included
    avg_logprob: float | None = None  # mean over the tokens, natural logarithm
    no_speech_prob: float | None = None  # of the window
    temperature: float | None = None  # that it was written at; None: the one asked
    window_start: float = 0.0  # seconds, where the window that it was heard in begins

    @property
    def timed_words(self) -> tuple[Word, ...]:
        """The words; where the model gave no times, spread evenly over the letters."""
        if self.words:
            return self.words
        texts = split_words(self.text)
        letters = sum(len(text) for text in texts)
        words, place = [], 0
        for text in texts:
            span = (self.end - self.start) / letters
            start, place = self.start + place * span, place + len(text)
            words.append(Word(text, start, self.start + place * span))
        return tuple(words)


def split_words(text: str) -> list[str]:
    """Words, each with a space before it where `text` has one; the end is stripped."""
    words: list[str] = []
    space = ""
    for part in text.split(" "):
        if part:
            words.append(space + part)
            space = " "
        elif not words:
            space = " "
    return words


@dataclass(frozen=True)
class Transcript:
    """The whole answer or a part of it: `text` is the segments' texts joined, nothing else."""

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
