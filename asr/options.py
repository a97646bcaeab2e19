"""What is asked of a transcription."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Task = Literal["transcribe", "translate"]


Timestamps = Literal["segment", "word", "none"]


@dataclass(frozen=True)
class Thresholds:
    """What makes a window's text not to be trusted, as openai/whisper has it.

    In a request None means the server's setting; for an engine it means: no such reason.
    """

    avg_logprob: float | None = None  # below it the text is unlikely
    compression_ratio: float | None = None  # above it the text repeats itself
    no_speech: float | None = None  # above it an unlikely text is no speech at all


@dataclass(frozen=True)
class VadOptions:
    """How speech is found and where a recording is cut; None: as the server does by itself."""

    threshold: float | None = None  # probability from which on a sound is speech
    padding: float | None = None  # seconds heard ahead of speech that is heard again
    pause: float | None = None  # seconds of the quietest stretch, which a cut lies amid


@dataclass(frozen=True)
class Options:
    """How a caller wants the audio transcribed; equal options may share a batch."""

    language: str | None = None  # code such as "en"; None: detect it
    languages: tuple[str, ...] = ()  # codes that may be detected; none: all that the model knows
    task: Task = "transcribe"
    timestamps: Timestamps = "segment"
    prompt: str | None = None
    temperature: float = 0.0  # 0: greedy, then higher for a text that cannot be trusted
    seed: int | None = None  # of what is drawn at a temperature
    pieces: bool = False  # whether each token's text and probability are wanted
    max_new_tokens: int | None = None  # of each window; None: as the server does by itself
    thresholds: Thresholds = Thresholds()
    listening: VadOptions = VadOptions()  # nothing to the engine: no window has it
    is_streamed: bool = field(default=False, compare=False)  # somebody waits for the first words
