"""Whether a text can be trusted, and what is done where not: pure decisions.

The measures and the temperatures of second attempts are those of openai/whisper's transcribe.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from asr.engines.whisper.decoding.tokens import TIME_PRECISION, Vocabulary
from asr.options import Options, Thresholds

Doubt = Literal["no speech", "repetition", "unlikely"]

TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
ROUNDING = 1e-3  # of log-probabilities: the same text may be read in batches of any size

# A loop: tokens that follow each other again and again, faster than anybody speaks. Not by their
# number alone: the same sentence ten times may have been said ten times.
LONGEST_UNIT = 32  # tokens that are repeated, at most
FEWEST_REPEATS = 6
SHORTEST_LOOP = 32  # tokens altogether
SPOKEN_TOKENS = 10  # a second: fast speech has about six
LOOK_EVERY = 16  # tokens of a row


@dataclass(frozen=True)
class TextQuality:
    """What is to be said of a window's text as it was written once."""

    avg_logprob: float  # over the window's tokens
    compression_ratio: float
    silence: float  # probability that nobody speaks
    is_loop: bool = False


def doubt(attempt: TextQuality, thresholds: Thresholds) -> Doubt | None:
    """Why the attempt's text is not to be trusted, None where it is."""
    lowest, highest = thresholds.avg_logprob, thresholds.compression_ratio
    is_unlikely = lowest is not None and attempt.avg_logprob < lowest
    is_quiet = thresholds.no_speech is not None and attempt.silence > thresholds.no_speech
    if is_quiet and (is_unlikely or lowest is None):
        return "no speech"
    if highest is not None and (attempt.is_loop or attempt.compression_ratio > highest):
        return "repetition"
    return "unlikely" if is_unlikely else None


def next_temperature(last: TextQuality, count: int, options: Options) -> float | None:
    """At which temperature the window is written again, None where it is not.

    Args:
        count: how many attempts there were, `last` the last of them.
    """
    if options.temperature > 0 or count >= len(TEMPERATURES):
        return None
    found = doubt(last, options.thresholds)
    return None if found is None or found == "no speech" else TEMPERATURES[count]


def kept(attempts: Sequence[TextQuality], thresholds: Thresholds) -> int | Doubt:
    """Which of the attempts is kept, or why none is.

    The last one if it is trusted. Otherwise the likeliest, where openai/whisper keeps the last,
    which the highest temperature wrote; of equals the first; but never a loop.
    """
    found = doubt(attempts[-1], thresholds)
    if found == "no speech":
        return found
    if found is None:
        return len(attempts) - 1
    candidates = [place for place, attempt in enumerate(attempts) if not attempt.is_loop]
    if not candidates:
        return "repetition"
    best = max(attempts[place].avg_logprob for place in candidates)
    return next(place for place in candidates if attempts[place].avg_logprob > best - ROUNDING)


def loops(tokens: Sequence[int], vocabulary: Vocabulary, seconds: float) -> bool:
    """Whether the text's end is a loop; times between the words are left out of account.

    Args:
        tokens: what was written so far of a window of `seconds`.
    """
    text: list[int] = []
    since: list[float] = []  # the time before each token of the text
    latest, closed = 0.0, 0  # the last time, and the text before it
    for token in tokens:
        if token >= vocabulary.first_timestamp:
            latest = (token - vocabulary.first_timestamp) * TIME_PRECISION
            closed = len(text)
        elif token < vocabulary.end_of_text:
            text.append(token)
            since.append(latest)
    for size in range(1, min(LONGEST_UNIT, len(text) // FEWEST_REPEATS) + 1):
        length = _repeated(text, size)
        if length < max(SHORTEST_LOOP, FEWEST_REPEATS * size):
            continue
        start = since[-length]
        timed = length - (len(text) - closed)  # of the loop, what lies before the last time
        is_rushed = timed >= SHORTEST_LOOP and timed > SPOKEN_TOKENS * (latest - start)
        if is_rushed or length > SPOKEN_TOKENS * (seconds - start):
            return True
    return False


def _repeated(text: Sequence[int], size: int) -> int:
    """How many tokens at the end of `text` are those of `size` tokens, over and over."""
    length = size
    while length < len(text) and text[-1 - length] == text[size - 1 - length]:
        length += 1
    return length
