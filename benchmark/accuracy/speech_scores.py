"""Score what was written for a folder's samples, language by language."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import jiwer

from benchmark.accuracy.contenders import Written
from benchmark.accuracy.corpus import normaliser
from benchmark.accuracy.scoring import Errors, Normalise, errors, median
from benchmark.accuracy.speech_folder import Sample

EDGE_SECONDS = 2.0  # Words are counted as lost at a recording's ends within so many seconds.

Pair = tuple[Sample, Written]


@dataclass(frozen=True)
class LanguageScore:
    """Holds the errors in one language, and how often it was detected."""

    errors: Errors
    cer: float  # character error rate, per cent
    detected: int  # files whose language was detected right
    files: int


@dataclass(frozen=True)
class EdgeScore:
    """Counts the words near the ends of all recordings that are lost."""

    words: int  # at each of the two ends
    lost_first: int
    lost_last: int


@dataclass(frozen=True)
class SpeechScore:
    """Scores one contender on recordings or clips."""

    languages: Mapping[str, LanguageScore]
    edges: EdgeScore
    repeated: int  # words written a second time beside the first
    first_s: float  # until the first words came, in the median; nan where nothing streams
    failed: int

    @property
    def mean_wer(self) -> float:
        """Return the mean of the languages' word error rates, per cent."""
        rates = [one.errors.rate for one in self.languages.values()]
        return sum(rates) / len(rates)

    @property
    def mean_cer(self) -> float:
        rates = [one.cer for one in self.languages.values()]
        return sum(rates) / len(rates)


@dataclass(frozen=True)
class SoundScore:
    """Counts what one contender wrote for sounds in which nobody speaks."""

    sounds: int
    with_text: int
    words: int
    failed: int
    texts: Mapping[str, str] = field(default_factory=dict)  # by the sound's name


@cache
def of_language(code: str) -> Normalise:
    """Return Whisper's text normaliser for the language, made once."""
    return normaliser(code)


def score_speech(pairs: Sequence[Pair]) -> SpeechScore:
    """Score all samples of one trial; a failed one counts as without text."""
    groups: dict[str, list[Pair]] = {}
    for sample, written in pairs:
        groups.setdefault(sample.language, []).append((sample, written))
    firsts = [written.first_s for _, written in pairs if written.first_s is not None]
    return SpeechScore(
        {language: _language_score(language, group) for language, group in groups.items()},
        _edge_score(pairs),
        sum(repeated_words(*_plain(pair)) for pair in pairs),
        median(firsts),
        sum(written.failure is not None for _, written in pairs),
    )


def score_sounds(pairs: Sequence[Pair]) -> SoundScore:
    texts = {sample.name: written.text.strip() for sample, written in pairs}
    texts = {name: text for name, text in texts.items() if text}
    return SoundScore(
        len(pairs),
        len(texts),
        sum(len(text.split()) for text in texts.values()),
        sum(written.failure is not None for _, written in pairs),
        texts,
    )


def wrong_words(pair: Pair) -> Errors:
    """Count the errors in one sample."""
    sample, written = pair
    return errors([(sample.text, written.text)], of_language(sample.language))


def _language_score(language: str, pairs: Sequence[Pair]) -> LanguageScore:
    texts = [(sample.text, written.text) for sample, written in pairs]
    return LanguageScore(
        errors(texts, of_language(language)),
        character_error_rate(_plain(pair) for pair in pairs),
        sum(written.detected == language for _, written in pairs),
        len(pairs),
    )


def _plain(pair: Pair) -> tuple[str, str]:
    sample, written = pair
    normalise = of_language(sample.language)
    return normalise(sample.text), normalise(written.text)


def character_error_rate(pairs: Iterable[tuple[str, str]]) -> float:
    """Return the share of wrong characters of all (said, written) pairs, per cent."""
    wrong = characters = 0
    for said, written in pairs:
        if said:
            counts = jiwer.process_characters(said, written)
            wrong += counts.substitutions + counts.deletions + counts.insertions
            characters += len(said)
    return 100 * wrong / max(characters, 1)


def _edge_score(pairs: Iterable[Pair]) -> EdgeScore:
    words = first = last = 0
    for sample, written in pairs:
        said, got = _plain((sample, written))
        count = edge_words(len(said.split()), sample.seconds)
        lost = lost_places(said, got)
        words += count
        first += sum(place < count for place in lost)
        last += sum(place >= len(said.split()) - count for place in lost)
    return EdgeScore(words, first, last)


def edge_words(words: int, seconds: float) -> int:
    """Return how many words two seconds have at the recording's own speed, at least one."""
    return min(words, max(1, round(words * EDGE_SECONDS / max(seconds, EDGE_SECONDS))))


def lost_places(said: str, written: str) -> list[int]:
    """Return the places, among the words said, of those that are lost."""
    if not said:
        return []
    chunks = jiwer.process_words(said, written).alignments[0]
    gone = [chunk for chunk in chunks if chunk.type == "delete"]
    return [place for one in gone for place in range(one.ref_start_idx, one.ref_end_idx)]


def repeated_words(said: str, written: str) -> int:
    """Count the written words that nobody said and that stand beside the same words."""
    if not said:
        return 0
    words, count = written.split(), 0
    for chunk in jiwer.process_words(said, written).alignments[0]:
        if chunk.type == "insert":
            start, end = chunk.hyp_start_idx, chunk.hyp_end_idx
            extra, size = words[start:end], end - start
            if extra in (words[end : end + size], words[max(0, start - size) : start]):
                count += size
    return count
