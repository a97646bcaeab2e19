"""From what a row has written to what the engine answers."""

from __future__ import annotations

import math
from dataclasses import replace

from asr.errors import TranscriptionFailed
from asr.transcript import Detection
from asr.whisper.checkpoint import Checkpoint
from asr.whisper.flight import Row
from asr.whisper.tokens import Vocabulary, segments
from asr.whisper.trust import mean_likelihood
from asr.windows import Window, WindowResult


def detection(row: Row, window: Window, vocabulary: Vocabulary) -> Detection:
    """The window's language: the one asked, or the one heard and how likely it is."""
    if window.options.language is not None:
        return Detection(window.options.language)
    if not vocabulary.languages:
        return Detection("en", {"en": 1.0})
    codes = {number: code for code, number in vocabulary.languages.items()}
    odds = {codes[number]: chance for number, chance in row.odds.items()}
    return Detection(None if row.language is None else codes[row.language], odds)


def answer(row: Row, window: Window, checkpoint: Checkpoint) -> WindowResult:
    """The window's text, with what the model thinks of it."""
    if math.isnan(sum(row.likelihoods)):
        dtype = str(checkpoint.weights.dtype).removeprefix("torch.")
        reason = f"the model's numbers overflowed in {dtype}; try DTYPE=bfloat16 or float32"
        return WindowResult(window, error=TranscriptionFailed(reason))
    vocabulary, options = checkpoint.vocabulary, window.options
    parts = segments(
        row.tokens,
        vocabulary,
        checkpoint.tokenizer,
        window.seconds,
        row.likelihoods if options.pieces else None,
    )
    average = mean_likelihood(row.tokens, row.likelihoods, vocabulary.end_of_text)
    found = tuple(
        replace(
            part,
            avg_logprob=average,
            no_speech_prob=row.silence,
            temperature=row.opening.temperature,
        )
        for part in parts
    )
    heard = detection(row, window, vocabulary)
    return WindowResult(window, found, heard.language, heard.probabilities)
