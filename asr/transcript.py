"""What is asked of a transcription, what comes back, and what the engine says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Task = Literal["transcribe", "translate"]
Timestamps = Literal["segment", "word", "none"]

SURE = 0.5  # probability from which a language that was detected is not asked for again


@dataclass(frozen=True)
class Thresholds:
    """What makes a window's text not to be trusted, as openai/whisper has it.

    In a request None means the server's setting; for an engine it means: no such reason.
    """

    avg_logprob: float | None = None  # below it the text is unlikely
    compression_ratio: float | None = None  # above it the text repeats itself
    no_speech: float | None = None  # above it an unlikely text is no speech at all


@dataclass(frozen=True)
class Listening:
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
    listening: Listening = Listening()  # nothing to the engine: no window has it
    is_streamed: bool = field(default=False, compare=False)  # somebody waits for the first words


@dataclass(frozen=True)
class Piece:
    """A text token; joined, the bytes of a segment's pieces are its text."""

    data: bytes  # UTF-8; a letter may be parted between pieces
    logprob: float  # natural logarithm


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
    pieces: tuple[Piece, ...] = ()  # where they were asked for

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
class Detection:
    """Which language is spoken."""

    language: str | None = None  # code; None where nobody speaks or the model does not say
    probabilities: Mapping[str, float] = field(default_factory=dict)  # by code, together 1

    @property
    def is_sure(self) -> bool:
        """Whether the language is likelier than all others together, where the model says."""
        return self.probabilities.get(self.language or "", 1.0) >= SURE


@dataclass(frozen=True)
class Gap:
    """Speech that no segment accounts for."""

    start: float  # seconds
    end: float  # seconds
    reason: str  # such as "no text", "repetition"


@dataclass(frozen=True)
class Coverage:
    """How much of the speech the segments account for."""

    speech: float  # seconds of speech in the audio
    covered: float  # seconds of it under a segment
    gaps: tuple[Gap, ...] = ()

    @property
    def share(self) -> float:
        """Of the speech, 0 to 1; 1 where nobody speaks."""
        return self.covered / self.speech if self.speech else 1.0


@dataclass(frozen=True)
class Transcript:
    """The whole answer or a part of it: `text` is the segments' texts joined, nothing else."""

    segments: tuple[Segment, ...]
    language: str | None  # code; None where the model does not say
    duration: float  # seconds of audio decoded
    coverage: Coverage | None = None  # of the whole audio; None in a part, and where not measured

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments)


NO_CUDA = "CUDA is not available"  # the words of the X-GPU-Name header without a GPU


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
    has_pieces: bool = False  # whether tokens come with their probabilities
    longest_window: float = 30.0  # seconds that the model can hear at once

    @property
    def is_on_gpu(self) -> bool:
        return self.device_name != NO_CUDA


@dataclass(frozen=True)
class HearingInfo:
    """What is done with audio before the engine has it."""

    finds_speech: bool = False
    has_threshold: bool = False  # that makes a sound speech
    cuts_at_pauses: bool = True  # or windows overlap
    forced_language: str | None = None  # heard whatever is asked
