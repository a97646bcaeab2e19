"""The result of a transcription: segments, words, tokens, coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from asr.text import split_words

SURE = 0.5  # A detected language with at least this probability is not detected again.


@dataclass(frozen=True)
class TokenLogprob:
    """A token of the text with its logprob; a segment's tokens joined are its text."""

    data: bytes  # UTF-8; the bytes of one letter may be split between tokens
    logprob: float  # natural logarithm


@dataclass(frozen=True)
class Word:
    """A word with its times."""

    text: str  # with its leading space, as the model wrote it
    start: float  # seconds
    end: float  # seconds
    probability: float | None = None


@dataclass(frozen=True)
class Speaker:
    """One of those who speak in a recording."""

    number: int  # from 0, in the order in which they begin to speak
    name: str | None = None  # of a known speaker

    @property
    def label(self) -> str:
        """The name, or such as "SPEAKER_00", which pyannote's users know."""
        return f"SPEAKER_{self.number:02}" if self.name is None else self.name

    @property
    def letter(self) -> str:
        """The name, or "A" to "Z", "AA", "AB" and so on, as in OpenAI's answers."""
        if self.name is not None:
            return self.name
        letters, number = "", self.number + 1
        while number:
            number, place = divmod(number - 1, 26)
            letters = chr(ord("A") + place) + letters
        return letters


@dataclass(frozen=True)
class SpeakerTurn:
    """A stretch of speech of one speaker; turns of different speakers may overlap."""

    start: float  # seconds
    end: float  # seconds
    speaker: Speaker


@dataclass(frozen=True)
class Segment:
    """A piece of text with its times; unknown fields have their defaults."""

    start: float  # seconds
    end: float  # seconds
    text: str  # with its leading space, as the model wrote it
    words: tuple[Word, ...] = ()
    tokens: tuple[int, ...] = ()  # as the model wrote them, timestamps included
    avg_logprob: float | None = None  # mean over the window's tokens, natural logarithm
    no_speech_prob: float | None = None  # of the window
    temperature: float | None = None  # that it was decoded at; None: the one of the request
    window_start: float = 0.0  # seconds, where its window begins
    token_logprobs: tuple[TokenLogprob, ...] = ()  # empty unless logprobs are wanted
    own_logprob: float | None = None  # as avg_logprob, over the tokens of its own text
    doubt: str | None = None  # why it stays only where a voice is sure, such as "unlikely"
    speaker: Speaker | None = None  # of all its words; None: nobody asked, or nobody is known
    # Words whose times nobody asked for: they tell who says what, and no answer shows them.
    unasked_words: tuple[Word, ...] = ()
    channel: int | None = None  # from 0; None: channels were not split

    @property
    def voice(self) -> str | None:
        """Who speaks, as subtitles name it: the speaker, or the channel; None: nobody knows."""
        if self.speaker is not None:
            return self.speaker.label
        return None if self.channel is None else f"Channel {self.channel}"

    @property
    def timed_words(self) -> tuple[Word, ...]:
        """The words with their times, spread evenly over the letters where the model gives none."""
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
    """The language that is spoken, and the probabilities of all."""

    language: str | None = None  # code; None where nobody speaks or the model does not detect it
    probabilities: Mapping[str, float] = field(default_factory=dict)  # by code, together 1

    @property
    def is_sure(self) -> bool:
        """Whether the language is likelier than all others together; True without probabilities."""
        return self.probabilities.get(self.language or "", 1.0) >= SURE


@dataclass(frozen=True)
class Gap:
    """Speech without a segment."""

    start: float  # seconds
    end: float  # seconds
    reason: str  # such as "no text", "repetition"
    channel: int | None = None  # from 0; None: channels were not split


@dataclass(frozen=True)
class Coverage:
    """How much of the speech is under a segment."""

    speech: float  # seconds of speech in the audio
    covered: float  # seconds of it under a segment
    gaps: tuple[Gap, ...] = ()

    @property
    def share(self) -> float:
        """The covered part of the speech, 0 to 1; 1 where nobody speaks."""
        return self.covered / self.speech if self.speech else 1.0


@dataclass(frozen=True)
class Transcript:
    """The whole result or a part of it; `text` is its segments' texts joined."""

    segments: tuple[Segment, ...]
    language: str | None  # code; None where the model does not detect it
    duration: float  # seconds of audio decoded
    coverage: Coverage | None = None  # of the whole audio; None in a part, and where not measured
    warnings: tuple[
        str, ...
    ] = ()  # what is wrong with the audio, a sentence each; in the last part
    ahead: tuple[Segment, ...] = ()  # whose text is final; they come again, with their words
    # Who speaks when, by start; None: nobody asked. In the last part alone, for the whole audio.
    turns: tuple[SpeakerTurn, ...] | None = None
    # The language of each channel, by its number; None: channels were not split.
    channel_languages: tuple[str | None, ...] | None = None
    # How likely each of these is, or the one of the mix, 0 to 1; None: nobody detected it. In the
    # last part alone.
    language_probabilities: tuple[float | None, ...] = ()
    # In the last part: its segments become sentences of so many seconds once speakers are known.
    segment_length: float | None = None

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments)

    def later(self, seconds: float) -> Transcript:
        """The same with all times `seconds` later: its audio began there."""
        coverage = self.coverage
        if coverage is not None:
            gaps = tuple(_later(gap, seconds) for gap in coverage.gaps)
            coverage = replace(coverage, gaps=gaps)
        turns = self.turns
        if turns is not None:
            turns = tuple(_later(turn, seconds) for turn in turns)
        return replace(
            self,
            segments=tuple(_segment_later(segment, seconds) for segment in self.segments),
            ahead=tuple(_segment_later(segment, seconds) for segment in self.ahead),
            coverage=coverage,
            turns=turns,
        )


def _segment_later(segment: Segment, seconds: float) -> Segment:
    return replace(
        _later(segment, seconds),
        words=tuple(_later(word, seconds) for word in segment.words),
        unasked_words=tuple(_later(word, seconds) for word in segment.unasked_words),
        window_start=segment.window_start + seconds,
    )


Timed = TypeVar("Timed", Word, Segment, Gap, SpeakerTurn)


def _later(timed: Timed, seconds: float) -> Timed:
    start, end = round(timed.start + seconds, 6), round(timed.end + seconds, 6)
    return replace(timed, start=start, end=end)


def between(tokens: Sequence[TokenLogprob], start: int, end: int | None) -> list[TokenLogprob]:
    """Cut out the tokens between two bytes of all; tokens at the ends are parted."""
    kept, place = [], 0
    for token in tokens:
        length = len(token.data)
        last = length if end is None else min(length, end - place)
        if data := token.data[max(0, start - place) : max(0, last)]:
            kept.append(TokenLogprob(data, token.logprob))
        place += length
    return kept
