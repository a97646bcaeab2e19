"""From the tokens that were written of a window to what the engine answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from asr.engines.engine import Window, WindowResult
from asr.engines.whisper.batch import Row
from asr.engines.whisper.checkpoint import Checkpoint
from asr.engines.whisper.decoding.fallback import TextQuality, kept, next_temperature
from asr.engines.whisper.decoding.tokens import Vocabulary, segments, spelled, unwritten
from asr.engines.whisper.decoding.word_timestamps import Timing, timing
from asr.engines.whisper.model.alignment import AlignmentInputs
from asr.errors import TranscriptionFailed
from asr.text import compression_ratio
from asr.transcript import LanguageDetection, Segment


@dataclass(frozen=True)
class Attempt:
    """What was written of a window, once."""

    tokens: Sequence[int]  # after the opening, end of text included
    likelihoods: Sequence[float]  # the tokens' log-probabilities
    silence: float  # probability that nobody speaks
    temperature: float
    is_loop: bool = False  # what ended it is that it repeated itself
    heard: AlignmentInputs | None = None  # where words are to be timed

    @classmethod
    def of(cls, row: Row, heard: AlignmentInputs | None) -> Attempt:
        """What a row that has ended has written."""
        temperature = row.opening.temperature
        return cls(row.tokens, row.likelihoods, row.silence, temperature, row.is_loop, heard)

    def attempt(self, vocabulary: Vocabulary, tokenizer: Any) -> TextQuality:
        """What is to be said of it."""
        text = [token for token in self.tokens if token < vocabulary.end_of_text]
        written = spelled(text, tokenizer).strip()
        average = self.avg_logprob(vocabulary.end_of_text)
        return TextQuality(average, compression_ratio(written), self.silence, self.is_loop)

    def avg_logprob(self, end_of_text: int) -> float:
        """As openai/whisper has it: over the window's tokens and the end of text.

        The end counts as one more token, also where the text was cut off before it.
        """
        written = len(self.tokens) - (end_of_text in self.tokens[-1:])
        return sum(self.likelihoods) / (written + 1)

    def segments(
        self, window: Window, vocabulary: Vocabulary, tokenizer: Any
    ) -> tuple[Segment, ...]:
        """Timed text with what the model thinks of it: of the whole window, in each segment."""
        likelihoods = self.likelihoods if window.options.pieces or self.heard else None
        average = self.avg_logprob(vocabulary.end_of_text)
        return tuple(
            replace(
                segment,
                avg_logprob=average,
                no_speech_prob=self.silence,
                temperature=self.temperature,
            )
            for segment in segments(self.tokens, vocabulary, tokenizer, window.seconds, likelihoods)
        )


@dataclass(frozen=True)
class PendingResult:
    """What the engine says of a window but for its words' times, which the device is still at."""

    result: WindowResult
    timing: Timing | None = None  # where words are to be timed

    def finish(self) -> WindowResult:
        """Wait for them."""
        if self.timing is None:
            return self.result
        segments = self.timing.finish()
        if not self.result.window.options.pieces:
            segments = tuple(replace(segment, pieces=()) for segment in segments)
        return replace(self.result, segments=segments)


def detection(row: Row, window: Window, vocabulary: Vocabulary) -> LanguageDetection:
    """The window's language: the one asked, or the one heard and how likely it is."""
    if window.options.language is not None:
        return LanguageDetection(window.options.language)
    if not vocabulary.languages:
        return LanguageDetection("en", {"en": 1.0})
    codes = {number: code for code, number in vocabulary.languages.items()}
    odds = {codes[number]: chance for number, chance in row.odds.items()}
    return LanguageDetection(None if row.language is None else codes[row.language], odds)


def next_attempt(
    drafts: Sequence[Attempt], window: Window, vocabulary: Vocabulary, tokenizer: Any
) -> float | None:
    """The temperature at which the window is written again, None where it is not."""
    if math.isnan(sum(drafts[-1].likelihoods)):
        return None
    last = drafts[-1].attempt(vocabulary, tokenizer)
    return next_temperature(last, len(drafts), window.options)


def chosen(
    drafts: Sequence[Attempt],
    window: Window,
    language: str | None,
    vocabulary: Vocabulary,
    tokenizer: Any,
) -> PendingResult:
    """The window's text of all attempts to write it; its `language` is not told again.

    Args:
        language: code of what is spoken.
    """
    attempts = [draft.attempt(vocabulary, tokenizer) for draft in drafts]
    place = kept(attempts, window.options.thresholds)
    if isinstance(place, str):
        return PendingResult(WindowResult(window, rejected=place))
    draft, end = drafts[place], vocabulary.end_of_text
    found = draft.segments(window, vocabulary, tokenizer)
    result = WindowResult(window, found, opened=unwritten(draft.tokens, vocabulary))
    if not draft.heard or not found:
        return PendingResult(result)
    spelling = "en" if window.options.task == "translate" else language
    return PendingResult(result, timing(found, draft.tokens, draft.heard, end, spelling))


def answer(
    drafts: Sequence[Attempt], heard: LanguageDetection, window: Window, checkpoint: Checkpoint
) -> PendingResult:
    """What the engine says of a window that was written in `drafts`."""
    if math.isnan(sum(drafts[-1].likelihoods)):
        dtype = str(checkpoint.weights.dtype).removeprefix("torch.")
        reason = f"the model's numbers overflowed in {dtype}; try DTYPE=bfloat16 or float32"
        return PendingResult(WindowResult(window, error=TranscriptionFailed(reason)))
    known = checkpoint.vocabulary, checkpoint.tokenizer
    found = chosen(drafts, window, heard.language, *known)
    told = replace(found.result, language=heard.language, probabilities=heard.probabilities)
    return replace(found, result=told)
