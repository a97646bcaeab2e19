"""Whether a window's text can be trusted, by openai/whisper's measures: pure decisions."""

from __future__ import annotations

from collections.abc import Sequence


def mean_likelihood(tokens: Sequence[int], likelihoods: Sequence[float], end_of_text: int) -> float:
    """openai/whisper's `avg_logprob` of a window: over its tokens and the end of text.

    The end counts as one more token, also where the text was cut off before it.
    """
    written = len(tokens) - (end_of_text in tokens[-1:])
    return sum(likelihoods) / (written + 1)
