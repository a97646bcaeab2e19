"""From the attempts to decode a window to the engine's result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from asr.engines.engine import Window, WindowResult
from asr.engines.whisper.checkpoint import Checkpoint
from asr.engines.whisper.decoding.attempt import Attempt
from asr.engines.whisper.decoding.fallback import best_attempt
from asr.engines.whisper.decoding.tokens import Vocabulary, token_bytes, unwritten
from asr.engines.whisper.decoding.word_timestamps import Timing, timing
from asr.errors import TranscriptionFailed
from asr.transcript import LanguageDetection, Segment


@dataclass(frozen=True)
class PendingResult:
    """A window's result, but for the times of its words, which the device still computes."""

    result: WindowResult
    timing: Timing | None = None  # where words are to be timed

    def finish(self) -> WindowResult:
        """Wait for the times of words."""
        if self.timing is None:
            return self.result
        segments = self.timing.finish()
        if not self.result.window.options.logprobs:
            segments = tuple(replace(segment, token_logprobs=()) for segment in segments)
        return replace(self.result, segments=segments)


def final_result(
    attempts: Sequence[Attempt],
    window: Window,
    detection: LanguageDetection,
    checkpoint: Checkpoint,
) -> PendingResult:
    """Return the result of all attempts to decode a window, with its language."""
    if attempts[-1].has_overflowed:
        dtype = str(checkpoint.weights.dtype).removeprefix("torch.")
        reason = f"the model's numbers overflowed in {dtype}; try DTYPE=bfloat16 or float32"
        return PendingResult(WindowResult(window, error=TranscriptionFailed(reason)))
    known = checkpoint.vocabulary, checkpoint.tokenizer
    pending = best_result(attempts, window, detection.language, *known)
    language, probabilities = detection.language, detection.probabilities
    result = replace(pending.result, language=language, probabilities=probabilities)
    if window.options.vocabulary:
        result = replace(result, left_out=checkpoint.prompt(window.options).left_out)
    return replace(pending, result=result)


def early_result(
    attempt: Attempt, window: Window, detection: LanguageDetection, checkpoint: Checkpoint
) -> WindowResult:
    """Return what is known before the window is decoded: its language, its first segments."""
    segments = _lasting(attempt, window, checkpoint.vocabulary, checkpoint.tokenizer)
    language, probabilities = detection.language, detection.probabilities
    return WindowResult(window, segments, language, probabilities, is_final=False)


def best_result(
    attempts: Sequence[Attempt],
    window: Window,
    language: str | None,
    vocabulary: Vocabulary,
    tokenizer: Any,
) -> PendingResult:
    """Return the text of the best attempt, or why no attempt is good enough.

    Its first segments may be given out already: they stay even then.

    Args:
        language: code of what is spoken; it decides how words are spelled, and is not returned.
    """
    qualities = [attempt.quality(vocabulary, tokenizer) for attempt in attempts]
    place = best_attempt(qualities, window.options.thresholds)
    rejected = place if isinstance(place, str) else None
    best = attempts[-1 if isinstance(place, str) else place]
    count = len(_lasting(attempts[0], window, vocabulary, tokenizer))
    found = best.segments(window, vocabulary, tokenizer)
    temperature = attempts[0].temperature
    first = tuple(replace(each, temperature=temperature, doubt=None) for each in found[:count])
    segments = first if rejected else (*first, *found[count:])
    opened = None if rejected else unwritten(best.tokens, vocabulary)
    result = WindowResult(window, segments, rejected=rejected, opened=opened, lasting=count)
    if not best.alignment or not segments:
        return PendingResult(result)
    spelling = "en" if window.options.task == "translate" else language
    prefix = [token_bytes(token, tokenizer) for token in best.prefix]
    given = best.tokens, best.alignment, vocabulary.end_of_text, spelling, prefix
    times = timing(segments, *given)
    return PendingResult(result, times)


def _lasting(
    attempt: Attempt, window: Window, vocabulary: Vocabulary, tokenizer: Any
) -> tuple[Segment, ...]:
    """Return the segments of an attempt that stay, whatever follows them."""
    count = attempt.lasting
    first = replace(attempt, tokens=attempt.tokens[:count], logprobs=attempt.logprobs[:count])
    found = first.segments(window, vocabulary, tokenizer)
    return tuple(replace(segment, doubt=None) for segment in found)  # it stays in any case
