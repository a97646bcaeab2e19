"""Compare words: count errors by kind, and measure how far written times are off."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import jiwer

from benchmark.accuracy.client import Timed
from models.demo.world import plain_words

Normalise = Callable[[str], str]


@dataclass(frozen=True)
class Errors:
    """Counts the wrong words of all texts together."""

    words: int  # said
    replaced: int
    lost: int
    invented: int

    @property
    def rate(self) -> float:
        """Return the word error rate, per cent.

        Where no word was said, each invented word counts as 100 %.
        """
        return 100 * (self.replaced + self.lost + self.invented) / max(self.words, 1)


def plain(text: str) -> str:
    """Return `text` in lower case, without punctuation.

    The demo world already writes numbers as words.
    """
    return " ".join(plain_words(text))


def errors(pairs: Iterable[tuple[str, str]], normalise: Normalise = plain) -> Errors:
    """Count the errors of (said, written) pairs, aligned by Levenshtein distance.

    Words that are written where nothing was said count, too.
    """
    words = replaced = lost = invented = 0
    for said, written in ((normalise(said), normalise(written)) for said, written in pairs):
        words += len(said.split())
        if not said:
            invented += len(written.split())
            continue
        alignment = jiwer.process_words(said, written)
        replaced += alignment.substitutions
        lost += alignment.deletions
        invented += alignment.insertions
    return Errors(words, replaced, lost, invented)


def same_words(said: Sequence[Timed], written: Sequence[Timed]) -> list[tuple[Timed, Timed]]:
    """Return each correctly written word together with the word that was said."""
    said, written = _alone(said), _alone(written)
    if not said or not written:
        return []
    alignment = jiwer.process_words(
        " ".join(w.text for w in said), " ".join(w.text for w in written)
    )
    return [
        pair
        for chunk in alignment.alignments[0]
        if chunk.type == "equal"
        for pair in zip(
            said[chunk.ref_start_idx : chunk.ref_end_idx],
            written[chunk.hyp_start_idx : chunk.hyp_end_idx],
            strict=True,
        )
    ]


def start_errors(pairs: Sequence[tuple[Timed, Timed]]) -> list[float]:
    """Return the seconds between said and written starts."""
    return [abs(said.start - written.start) for said, written in pairs]


def end_errors(pairs: Sequence[tuple[Timed, Timed]]) -> list[float]:
    """Return the seconds between said and written ends."""
    return [abs(said.end - written.end) for said, written in pairs]


def share_covered(said: Sequence[Timed], segments: Sequence[Timed]) -> float:
    """Return how much of the spoken words' time lies under a segment, per cent."""
    total = sum(word.end - word.start for word in said)
    covered = sum(
        max(0.0, min(word.end, segment.end) - max(word.start, segment.start))
        for word in said
        for segment in segments
        if segment.start < word.end and word.start < segment.end
    )
    return 100 * min(covered / total, 1.0) if total else 100.0


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of `values` lie; nan without values."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else float("nan")


def _alone(words: Sequence[Timed]) -> list[Timed]:
    """Return plain words, without those that become two words or none."""
    return [
        Timed(plain(word.text), word.start, word.end)
        for word in words
        if len(plain_words(word.text)) == 1
    ]
