"""Temperature fallback: decide which texts are rejected, and which attempt is the best.

The measures and the temperatures are those of openai/whisper's transcribe.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Literal

from asr.options import Options, Thresholds
from asr.text import compression_ratio
from asr.transcript import Segment

RejectionReason = Literal["no speech", "repetition", "unlikely"]

TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # Attempts use these, one after the other.
ROUNDING = 1e-3  # Mean logprobs this close count as equal: they vary with the batch.


@dataclass(frozen=True)
class TextQuality:
    """The measures of one attempt's text."""

    avg_logprob: float  # over the window's tokens
    compression_ratio: float
    no_speech_prob: float
    is_loop: bool = False


def rejection_reason(quality: TextQuality, thresholds: Thresholds) -> RejectionReason | None:
    """Return why an attempt's text is rejected, None if it is good."""
    lowest, highest = thresholds.avg_logprob, thresholds.compression_ratio
    is_unlikely = lowest is not None and quality.avg_logprob < lowest
    is_quiet = thresholds.no_speech is not None and quality.no_speech_prob > thresholds.no_speech
    if is_quiet and (is_unlikely or lowest is None):
        return "no speech"
    if highest is not None and (quality.is_loop or quality.compression_ratio > highest):
        return "repetition"
    return "unlikely" if is_unlikely else None


def doubt(segment: Segment, attempt: TextQuality, thresholds: Thresholds) -> RejectionReason | None:
    """Return why a segment is to stay only where a voice is sure; None where it simply stays.

    It is judged by its own tokens, because a window may have others that are likely.

    Args:
        segment: with the mean logprob of its tokens.
        attempt: the quality of the attempt that it is from.
    """
    assert segment.own_logprob is not None
    lowest, highest, quietest = astuple(thresholds)
    ratio = max(attempt.compression_ratio, compression_ratio(segment.text.strip()))
    if lowest is not None and segment.own_logprob < lowest:
        return "unlikely"
    if highest is not None and ratio > highest:
        return "repetition"
    return "no speech" if quietest is not None and attempt.no_speech_prob > quietest else None


def next_temperature(last: TextQuality, count: int, options: Options) -> float | None:
    """Return the temperature of the next attempt, None where there is to be none.

    Args:
        count: how many attempts there were; `last` is the last of them.
    """
    if options.temperature > 0 or count >= len(TEMPERATURES):
        return None
    reason = rejection_reason(last, options.thresholds)
    return None if reason is None or reason == "no speech" else TEMPERATURES[count]


def best_attempt(qualities: Sequence[TextQuality], thresholds: Thresholds) -> int | RejectionReason:
    """Return the place of the best attempt, or why none is good enough.

    The last one is the best if it is not rejected. Otherwise the likeliest is, of equals the
    first, but never a loop; openai/whisper takes the last one, of the highest temperature.
    """
    reason = rejection_reason(qualities[-1], thresholds)
    if reason == "no speech":
        return reason
    if reason is None:
        return len(qualities) - 1
    candidates = [place for place, quality in enumerate(qualities) if not quality.is_loop]
    if not candidates:
        return "repetition"
    best = max(qualities[place].avg_logprob for place in candidates)
    return next(place for place in candidates if qualities[place].avg_logprob > best - ROUNDING)
