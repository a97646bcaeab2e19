"""Decide which text of a window is given out while the window is still being decoded.

What is given out is never taken back. Whether it is depends on the tokens up to there alone: not
on what follows, nor on when they are read, nor on whether anybody waits for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from asr.engines.whisper.decoding.tokens import Vocabulary, spelled
from asr.options import Thresholds
from asr.text import compression_ratio

MARGIN = 0.4  # A segment's mean logprob is at least this much above the threshold of a window.
REPETITION_SHARE = 0.75  # The compression ratio reaches at most this share of its threshold.


def lasting(
    tokens: Sequence[int],
    logprobs: Sequence[float],
    no_speech_prob: float,
    thresholds: Thresholds,
    vocabulary: Vocabulary,
    tokenizer: Any,
) -> int:
    """Return how many tokens, from the first on, stay whatever follows them.

    They are whole segments, each closed by its end timestamp, likely and without repetition. The
    first doubtful one holds back itself and all that follow.

    Args:
        tokens: what is decoded so far at the first temperature, with `logprobs`.
    """
    if thresholds.no_speech is not None and no_speech_prob > thresholds.no_speech:
        return 0  # the window may yet count as silence
    first, before = 0, ""
    for end in _closings(tokens, vocabulary):
        places = [n for n in range(first, end) if tokens[n] < vocabulary.end_of_text]
        text = spelled([tokens[n] for n in places], tokenizer).strip()
        whole = spelled([t for t in tokens[:end] if t < vocabulary.end_of_text], tokenizer)
        if not _is_likely([logprobs[n] for n in places], thresholds):
            return first
        if text == before or _is_repetitive((text, whole.strip()), thresholds):
            return first
        first, before = end, text
    return first


def _closings(tokens: Sequence[int], vocabulary: Vocabulary) -> Iterator[int]:
    """Yield the place behind each timestamp that closes a segment."""
    has_text = False
    for place, token in enumerate(tokens):
        if token < vocabulary.end_of_text:
            has_text = True
        elif token >= vocabulary.first_timestamp and has_text:
            yield place + 1
            has_text = False


def _is_likely(logprobs: Sequence[float], thresholds: Thresholds) -> bool:
    """Whether a segment's text is likely; its timestamps, which vary by some frames, do not count.

    Numbers that overflowed are not.
    """
    if thresholds.avg_logprob is None:
        return fmean(logprobs) <= 0
    return fmean(logprobs) >= min(0.0, thresholds.avg_logprob + MARGIN)


def _is_repetitive(texts: Sequence[str], thresholds: Thresholds) -> bool:
    highest = thresholds.compression_ratio
    if highest is None:
        return False
    return any(compression_ratio(text) > REPETITION_SHARE * highest for text in texts)
