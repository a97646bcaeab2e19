"""An utterance: its audio, window by window, and the text that it has so far."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from asr.engines.engine import WindowResult
from asr.errors import AsrError
from asr.live.options import LiveOptions
from asr.pcm import SAMPLE_RATE, Samples
from asr.transcript import LanguageDetection, SpeakerTurn, TokenLogprob, Word, between

NOTE_BYTES = 300  # A word with its times, or a token with its probability, takes so many bytes.


@dataclass(eq=False)
class LiveUtterance:
    """What is said between two pauses, or between two commits of the client."""

    options: LiveOptions  # of the session, when it began
    start: int  # samples from the session's start
    id: str = field(default_factory=lambda: f"item_{uuid.uuid4().hex[:21]}")
    end: int = 0  # likewise, once it is committed
    committed_at: float | None = None  # by time.monotonic; None: its audio goes on
    is_dropped: bool = False  # The client has cleared its audio.
    has_failed: bool = False  # The client knows why there is no text.
    texts: list[str] = field(default_factory=list)  # joined they are its text so far
    words: list[Word] = field(default_factory=list)  # times count from the session's start
    logprobs: list[TokenLogprob] = field(default_factory=list)
    _told: int = 0  # of `texts`, that the client has
    _told_logprobs: int = 0  # of `logprobs`, likewise
    language: str | None = None  # code, once it is known
    probabilities: Mapping[str, float] = field(default_factory=dict)
    turns: list[SpeakerTurn] = field(default_factory=list)  # times as those of `words`
    speakers_failure: AsrError | None = None  # why nobody knows who speaks

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def held(self) -> int:
        """About how many bytes its words, tokens and turns take."""
        return NOTE_BYTES * (len(self.words) + len(self.logprobs) + len(self.turns))

    @property
    def is_committed(self) -> bool:
        return self.committed_at is not None

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / SAMPLE_RATE

    def add(
        self, words: Sequence[Word], result: WindowResult, skipped: Sequence[Word] = ()
    ) -> None:
        """Add words of a window behind those that are there.

        Args:
            skipped: the words of the window before those.
        """
        text, offset = "".join(word.text for word in words), result.window.start
        tokens = [token for segment in result.segments for token in segment.token_logprobs]
        place = len("".join(word.text for word in skipped).encode())
        self.texts.append(text)
        self.logprobs += between(tokens, place, place + len(text.encode()))
        self.words += (
            replace(word, start=word.start + offset, end=word.end + offset) for word in words
        )

    def untold(self) -> tuple[str, tuple[TokenLogprob, ...]]:
        """The text that the client has not had, and its tokens; from now on it has them."""
        text, logprobs = "".join(self.texts[self._told :]), self.logprobs[self._told_logprobs :]
        self._told, self._told_logprobs = len(self.texts), len(self.logprobs)
        return text, tuple(logprobs)

    def settle_language(self, detection: LanguageDetection) -> None:
        """Take the language that was detected, unless one is settled."""
        self.language = self.language or detection.language
        self.probabilities = self.probabilities or detection.probabilities

    def commit(self, end: int) -> None:
        self.end, self.committed_at = end, time.monotonic()


class Take:
    """The audio of one window of an utterance, which grows until it is complete.

    Args:
        start: samples from the session's start.
        most: samples that it has at most.
    """

    def __init__(self, utterance: LiveUtterance, start: int, most: int) -> None:
        self.utterance = utterance
        self.start = start
        self.is_last = False  # of its utterance; known when it is complete
        self.is_complete = False
        self.changed = asyncio.Event()  # It has grown, is complete, or its text has come.
        self.given_until = 0  # samples from the session's start that words given out reach to
        self._samples = np.empty(most, np.float32)
        self.length = 0  # samples so far

    @property
    def end(self) -> int:
        return self.start + self.length

    @property
    def held(self) -> int:
        """Bytes that its audio takes, and the words of its utterance."""
        return self._samples.nbytes + self.utterance.held

    @property
    def samples(self) -> Samples:
        """The audio so far, [samples]; what follows later does not change it."""
        return self._samples[: self.length]

    def extend(self, samples: Samples) -> None:
        self._samples[self.length : self.length + len(samples)] = samples
        self.length += len(samples)
        self.changed.set()

    async def reaches(self, length: int) -> bool:
        """Wait until it has so many samples; return False where it is complete before."""
        while not self.is_complete and self.length < length:
            self.changed.clear()
            await self.changed.wait()
        return not self.is_complete

    def complete(self, end: int, is_last: bool) -> Samples:
        """End it at sample `end`; return a copy of what it has behind that."""
        kept = end - self.start
        rest: Samples = self._samples[kept : self.length].copy()
        self.length = kept
        self.is_complete, self.is_last = True, is_last
        self.changed.set()
        return rest
