"""What comes back of a transcription: segments, words, tokens, coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from asr.text import split_words

SURE = 0.5  # probability from which a language that was detected is not asked for again


@dataclass(frozen=True)
class TokenLogprob:
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
    pieces: tuple[TokenLogprob, ...] = ()  # where they were asked for

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


@dataclass(frozen=True)
class LanguageDetection:
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


def between(pieces: Sequence[TokenLogprob], start: int, end: int | None) -> list[TokenLogprob]:
    """The tokens between the bytes `start` and `end` of all; a token there may be parted."""
    found, place = [], 0
    for piece in pieces:
        length = len(piece.data)
        last = length if end is None else min(length, end - place)
        if data := piece.data[max(0, start - place) : max(0, last)]:
            found.append(TokenLogprob(data, piece.logprob))
        place += length
    return found
