"""One window on its way through the decoder: its status, its tokens, its attempts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto

import numpy as np

from asr.engines.engine import Window, WindowResult
from asr.engines.whisper.checkpoint import Checkpoint
from asr.engines.whisper.decoding.attempt import Attempt
from asr.engines.whisper.decoding.early_text import lasting
from asr.engines.whisper.decoding.loops import most_tokens
from asr.engines.whisper.decoding.tokens import ENGLISH_ONLY, Vocabulary
from asr.engines.whisper.model.alignment import AlignmentInputs
from asr.engines.whisper.result import PendingResult
from asr.engines.whisper.runner import UNDETECTED, Opening
from asr.errors import TranscriptionFailed
from asr.transcript import LanguageDetection


class SequenceStatus(Enum):
    """How far a sequence has come."""

    WAITING = auto()  # It has no slot yet.
    DECODING = auto()  # It has a slot, and each launch decodes tokens of it.
    ENDED = auto()  # Its slot is free: its text is complete, or its window was dropped.
    TIMING = auto()  # Its text is chosen, and the device computes the times of its words.


@dataclass(eq=False)
class Sequence:
    """One window in the running batch, and what is decoded of it."""

    window: Window
    opening: Opening
    limit: int  # tokens at most
    status: SequenceStatus = SequenceStatus.WAITING
    slot: int = -1
    reach: int = 0  # positions that launches have gone to; the host may not have read them yet
    tokens: list[int] = field(default_factory=list)  # end of text included
    logprobs: list[float] = field(default_factory=list)  # of `tokens`, natural logarithm
    language: int | None = None  # the token of the language that was detected
    language_probs: dict[int, float] = field(default_factory=dict)  # by language token
    no_speech_prob: float = 0.0
    is_loop: bool = False  # Its text repeats itself, and it was ended for that.
    is_language_reported: bool = False  # The caller has the detected language already.
    lasting: int = 0  # of `tokens`, from the first on: every attempt keeps them
    looked_at: int = 0  # of `tokens`: more of them may last only if more have come
    attempts: list[Attempt] = field(default_factory=list)  # of its window, in order
    pending: PendingResult | None = None  # in status TIMING

    @classmethod
    def of(cls, window: Window, checkpoint: Checkpoint, most: int) -> Sequence:
        """Return the sequence of a window's first attempt.

        Args:
            most: tokens of any sequence.

        Raises:
            AsrError: the window cannot be transcribed at all.
        """
        if not np.isfinite(window.samples).all():
            raise TranscriptionFailed("the audio has samples that are not finite numbers")
        longest = checkpoint.window_seconds
        if window.seconds > longest:
            length = f"the window is {window.seconds:g} s long"
            raise TranscriptionFailed(f"{length}; the model takes at most {longest:g} s")
        options = window.options
        opening = checkpoint.opening(options)
        room = checkpoint.longest - len(opening.tokens)
        limits = room, most, most_tokens(window.seconds), options.max_new_tokens or room
        return cls(window, opening, limit=min(limits))

    @property
    def is_decoding_first_words(self) -> bool:
        """Whether it is being decoded, and nothing of it can be given out yet."""
        return self.status is SequenceStatus.DECODING and not self.lasting

    @property
    def stops_loops(self) -> bool:
        """Whether a text that repeats itself ends the sequence."""
        return self.window.options.thresholds.compression_ratio is not None

    def has_more_to_give(self, checkpoint: Checkpoint) -> bool:
        """Whether more segments than before are good enough to be given out."""
        new, self.looked_at = self.tokens[self.looked_at :], len(self.tokens)
        if self.attempts or max(new, default=0) < checkpoint.vocabulary.first_timestamp:
            return False
        before = self.lasting
        self.find_lasting(checkpoint)
        return self.lasting > before

    def find_lasting(self, checkpoint: Checkpoint) -> None:
        """Find which tokens of the first attempt stay, whatever becomes of the window."""
        if self.attempts:
            return
        self.lasting = lasting(
            self.tokens,
            self.logprobs,
            self.no_speech_prob,
            self.window.options.thresholds,
            checkpoint.vocabulary,
            checkpoint.tokenizer,
        )

    def attempt(self, alignment: AlignmentInputs | None) -> Attempt:
        """Return what an ended sequence has decoded."""
        return Attempt(
            self.tokens,
            self.logprobs,
            self.no_speech_prob,
            self.opening.temperature,
            self.is_loop,
            alignment,
            self.lasting,
            self.opening.prefix,
        )

    def retried(self, temperature: float, seed: int) -> Sequence:
        """Return the sequence of the window's next attempt.

        Its language is not detected again, and the tokens that last are not decoded again.
        """
        opening = replace(self.opening, temperature=temperature, seed=seed)
        if self.language is not None:
            detected = {UNDETECTED: self.language}
            tokens = tuple(detected.get(token, token) for token in opening.tokens)
            opening = replace(opening, tokens=tokens)
        return Sequence(
            self.window,
            opening,
            self.limit,
            tokens=self.tokens[: self.lasting],
            logprobs=self.logprobs[: self.lasting],
            no_speech_prob=self.no_speech_prob,
            language=self.language,
            language_probs=self.language_probs,
            is_language_reported=self.is_language_reported,
            lasting=self.lasting,
            attempts=self.attempts,
        )

    def detection(self, vocabulary: Vocabulary) -> LanguageDetection:
        """Return the language that was asked for, or the one detected with its probability."""
        if self.window.options.language is not None:
            return LanguageDetection(self.window.options.language)
        if not vocabulary.languages:
            return ENGLISH_ONLY
        codes = {number: code for code, number in vocabulary.languages.items()}
        probabilities = {codes[number]: each for number, each in self.language_probs.items()}
        language = None if self.language is None else codes[self.language]
        return LanguageDetection(language, probabilities)

    def finish(self) -> WindowResult:
        """Wait for the times of the words of a sequence in status TIMING."""
        assert self.pending is not None
        return self.pending.finish()
