"""One attempt to decode a window: its tokens, and what speaks for or against its text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from asr.engines.engine import Window
from asr.engines.whisper.decoding.fallback import TextQuality, doubt, next_temperature
from asr.engines.whisper.decoding.tokens import Vocabulary, segments, spelled
from asr.engines.whisper.model.alignment import AlignmentInputs
from asr.text import compression_ratio
from asr.transcript import Segment


@dataclass(frozen=True)
class Attempt:
    """What is decoded of a window at one temperature."""

    tokens: Sequence[int]  # after the opening, end of text included
    logprobs: Sequence[float]  # of `tokens`, natural logarithm
    no_speech_prob: float
    temperature: float
    is_loop: bool = False  # The text repeated itself, and decoding was stopped for that.
    alignment: AlignmentInputs | None = None  # where words are to be timed
    lasting: int = 0  # of `tokens`, from the first on: the first attempt's, which are given out
    prefix: Sequence[int] = ()  # tokens of the text before `tokens`

    @property
    def has_overflowed(self) -> bool:
        """Whether the model computed numbers that are none."""
        return math.isnan(sum(self.logprobs))

    def quality(self, vocabulary: Vocabulary, tokenizer: Any) -> TextQuality:
        """Measure the text, for the temperature fallback."""
        text = [token for token in self.tokens if token < vocabulary.end_of_text]
        ratio = compression_ratio(spelled(text, tokenizer).strip())
        average = self.avg_logprob(vocabulary.end_of_text)
        return TextQuality(average, ratio, self.no_speech_prob, self.is_loop)

    def avg_logprob(self, end_of_text: int) -> float:
        """Return the mean logprob of the tokens and the end of text, as openai/whisper does.

        The end counts as one more token, also where the text was cut off before it.
        """
        count = len(self.tokens) - (end_of_text in self.tokens[-1:])
        return sum(self.logprobs) / (count + 1)

    def segments(
        self, window: Window, vocabulary: Vocabulary, tokenizer: Any
    ) -> tuple[Segment, ...]:
        """Return timed text; each segment carries the window's probabilities beside its own."""
        spells_tokens = window.options.logprobs or self.alignment is not None
        given = self.tokens, vocabulary, tokenizer, window.seconds, self.logprobs, spells_tokens
        quality = self.quality(vocabulary, tokenizer)
        return tuple(
            replace(
                segment,
                avg_logprob=quality.avg_logprob,
                no_speech_prob=self.no_speech_prob,
                temperature=self.temperature,
                doubt=doubt(segment, quality, window.options.thresholds),
            )
            for segment in segments(*given)
        )


def fallback_temperature(
    attempts: Sequence[Attempt], window: Window, vocabulary: Vocabulary, tokenizer: Any
) -> float | None:
    """Return the temperature of the window's next attempt, None where there is to be none."""
    if attempts[-1].has_overflowed:
        return None
    quality = attempts[-1].quality(vocabulary, tokenizer)
    return next_temperature(quality, len(attempts), window.options)
