"""Stops a row of `generate` whose text repeats itself, or is longer than anybody can say."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from asr.engines.whisper.decoding.loops import CHECK_EVERY, loops, most_tokens
from asr.engines.whisper.decoding.tokens import Vocabulary


class TextStop:
    """One of the stopping criteria of `generate`, for windows of different lengths.

    Args:
        opening: tokens before the text.
        seconds: of each row's window.
        watches_loops: whether a text that repeats itself is stopped.
    """

    def __init__(
        self, vocabulary: Vocabulary, opening: int, seconds: Sequence[float], watches_loops: bool
    ) -> None:
        self._vocabulary = vocabulary
        self._opening = opening
        self._seconds = seconds
        self._watches_loops = watches_loops
        self._limits = [most_tokens(each) for each in seconds]

    def __call__(self, written: torch.Tensor, _: object, **__: object) -> torch.Tensor:
        """Return which of the rows, [rows, tokens], are to stop."""
        count = written.shape[1] - self._opening
        stops = [count >= limit for limit in self._limits]
        if count % CHECK_EVERY == 0:
            for row, tokens in enumerate(written[:, self._opening :].tolist()):
                stops[row] = stops[row] or self.loops(row, tokens)
        return torch.tensor(stops, device=written.device)

    def loops(self, row: int, tokens: Sequence[int]) -> bool:
        return self._watches_loops and loops(tokens, self._vocabulary, self._seconds[row])
