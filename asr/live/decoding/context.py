"""The speech before a short window, with which it is decoded: a word alone is easily misheard."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from asr.engines.engine import Window, WindowResult
from asr.live.utterance import Take
from asr.options import Options
from asr.pcm import SAMPLE_RATE, Samples
from asr.transcript import Segment, between

CONTEXT_SECONDS = 12.0  # What was said up to so many seconds ago is heard again.
SHORT_SECONDS = 4.0  # A window of more seconds has context enough in itself.
# A word is the window's own if its middle lies so many seconds before it, or later: an utterance
# ends with a silence, and the words around it are not timed to the tenth of a second.
MARGIN_SECONDS = 0.25


@dataclass(frozen=True)
class Spoken:
    """A window whose text is known."""

    start: int  # samples from the session's start
    samples: Samples
    text: str
    language: str | None
    options: Options  # that it was asked for with

    @property
    def end(self) -> int:
        return self.start + len(self.samples)


class SpokenContext:
    """What was said last in a session, [samples] of at most CONTEXT_SECONDS."""

    def __init__(self) -> None:
        self._spoken: deque[Spoken] = deque()

    @property
    def held(self) -> int:
        """Bytes that its audio takes."""
        return sum(each.samples.nbytes for each in self._spoken)

    def add(self, take: Take, text: str) -> None:
        """Add a window and the text that was found in it."""
        utterance = take.utterance
        options, samples = utterance.options.options, take.samples.copy()
        self._spoken.append(Spoken(take.start, samples, text, utterance.language, options))
        first = take.end - round(CONTEXT_SECONDS * SAMPLE_RATE)
        while self._spoken and self._spoken[0].start < first:
            self._spoken.popleft()

    def joined(self, window: Window, take: Take, language: str | None) -> tuple[Window, str] | None:
        """A short window behind what was said before it, and the text of that.

        None where nothing was, or the window is long enough. There is silence between utterances,
        so that times in the session stay what they are.

        Args:
            language: of the window; None: that of what was said last.
        """
        start = round(window.start * SAMPLE_RATE)
        first = start - round(CONTEXT_SECONDS * SAMPLE_RATE)
        options = take.utterance.options.options
        near = [each for each in self._spoken if first <= each.start and each.options == options]
        language = language or (near[-1].language if near else None)
        near = [each for each in near if each.language == language]
        if not near or window.seconds > SHORT_SECONDS:
            return None
        first = near[0].start
        samples = np.zeros(start - first + len(window.samples), np.float32)
        for each in near:
            samples[each.start - first : each.end - first] = each.samples
        samples[start - first :] = window.samples
        spoken = replace(window.options, language=language)
        joined = replace(window, samples=samples, start=first / SAMPLE_RATE, options=spoken)
        return joined, "".join(each.text for each in near)


def own_part(result: WindowResult, take: Take) -> WindowResult:
    """The part of a result that belongs to a take's window, as if that had been decoded alone."""
    window = result.window
    first = take.start - round(window.start * SAMPLE_RATE)
    if first <= 0:
        return result
    own = replace(window, samples=window.samples[first:], start=take.start / SAMPLE_RATE)
    parts = (_behind(segment, first / SAMPLE_RATE) for segment in result.segments)
    segments = tuple(part for part in parts if part is not None)
    return replace(result, window=own, segments=segments)


def _behind(segment: Segment, start: float) -> Segment | None:
    """The words from `start` on, and times that count from there; None without any."""
    words = tuple(
        replace(word, start=max(0.0, word.start - start), end=max(0.0, word.end - start))
        for word in segment.timed_words
        if (word.start + word.end) / 2 >= start - MARGIN_SECONDS
    )
    if not words:
        return None
    text = "".join(word.text for word in words)
    place = len(segment.text.encode()) - len(text.encode())
    return replace(
        segment,
        start=words[0].start,
        end=words[-1].end,
        text=text,
        words=words,
        token_logprobs=tuple(between(segment.token_logprobs, place, None)),
    )
