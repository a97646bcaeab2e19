"""Decides where utterances begin and end, from what a detector says of each frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

from asr.live.options import TurnDetection
from asr.pcm import SAMPLE_RATE
from asr.vad.detector import FRAME_SAMPLES, FRAME_SECONDS, SHORTEST_RUN, Flags, Numbers

SEARCHED_SHARE = 1 / 3  # The last part of the longest window, in which a cut is searched.
SHORTEST_SILENCE = 0.2  # Fewer seconds of silence end no utterance: words have such pauses.
PAUSE_FRAMES = 9  # A cut lies in the middle of the quietest stretch of so many frames: 0.3 s.


class Edge(Enum):
    """What happens at a boundary."""

    START = auto()  # An utterance begins.
    END = auto()  # It ends.
    CUT = auto()  # Its window is full: it goes on in the next one.


@dataclass(frozen=True)
class Boundary:
    """A place where an utterance begins, ends, or goes on in another window."""

    edge: Edge
    at: int  # samples from the session's start


@dataclass(frozen=True)
class Frames:
    """What is known of consecutive frames."""

    first: int  # number of the first frame in the session
    sure: Flags  # whether somebody surely speaks, [frames]
    likely: Flags  # whether somebody goes on to speak, [frames]
    power: Numbers  # mean square, [frames]


class Endpointer:
    """Follows one session, frame by frame.

    Args:
        turns: how utterances are detected; None: the client ends each one.
        longest: samples that a window has at most.
        start: samples from the session's start that are before the first utterance.
    """

    def __init__(self, turns: TurnDetection | None, longest: int, start: int = 0) -> None:
        self.turns = turns
        self._longest = longest
        self._earliest = start  # No utterance begins before this sample.
        self._begin: int | None = None  # of the open window
        self._run = 0  # likely frames in a row, the last one included
        self._is_sure = False  # whether there is a sure one among them
        self._quiet = 0  # frames in a row without speech
        self._known_from = 0  # number of the first frame of the two lists
        self._power: list[float] = []  # of the frames since the window began
        self._sure: list[bool] = []  # likewise
        self.floor = 0  # A cut does not lie before this sample: words up to there are given out.

    @property
    def begin(self) -> int | None:
        """The first sample of the open window; None while nobody speaks."""
        return self._begin

    @property
    def needed_from(self) -> int:
        """The first sample that may still belong to an utterance that has not begun."""
        return self._earliest

    def close(self, at: int) -> None:
        """End the open utterance at sample `at`, because the client wants it."""
        self._begin, self._earliest = None, at
        self._run, self._quiet, self._is_sure = 0, 0, False

    def push(self, frames: Frames) -> Iterator[Boundary]:
        """Take the next frames; yield each boundary as it is found."""
        columns = (frames.sure.tolist(), frames.likely.tolist(), frames.power.tolist())
        for number, (sure, likely, power) in enumerate(zip(*columns, strict=True), frames.first):
            self._count(sure, likely)
            if self._begin is None:
                yield from self._silent(number)
            if self._begin is not None:
                self._power.append(power)
                self._sure.append(sure)
                yield from self._speaking(number)

    def _count(self, sure: bool, likely: bool) -> None:
        if likely:
            self._run += 1
            self._is_sure |= sure
            self._quiet = 0
        else:
            self._run, self._is_sure = 0, False
            self._quiet += 1

    def _silent(self, number: int) -> Iterator[Boundary]:
        """The beginning of an utterance, where this frame shows one."""
        if self.turns is None:
            self._open(self._earliest, number)
            yield Boundary(Edge.START, self._earliest)
            return
        first = (number + 1 - self._run) * FRAME_SAMPLES
        padding = min(self.turns.prefix_padding * SAMPLE_RATE, self._longest / 3)
        start = max(self._earliest, first - round(padding))
        if self._run >= SHORTEST_RUN and self._is_sure:
            self._open(start, number)
            yield Boundary(Edge.START, start)
        else:
            self._earliest = start

    def _open(self, at: int, number: int) -> None:
        self._begin, self._known_from = at, number
        self._power, self._sure = [], []

    def _speaking(self, number: int) -> Iterator[Boundary]:
        """The end of an utterance or of its window, where this frame shows one."""
        assert self._begin is not None
        end = (number + 1) * FRAME_SAMPLES
        if self._is_over:
            self.close(end)
            yield Boundary(Edge.END, end)
        elif end + FRAME_SAMPLES - self._begin > self._longest:
            yield from self._cut(end)

    @property
    def _is_over(self) -> bool:
        """Whether it has been silent for so long that the utterance ends."""
        if self.turns is None:
            return False
        return self._quiet * FRAME_SECONDS >= max(self.turns.silence, SHORTEST_SILENCE)

    def _cut(self, end: int) -> Iterator[Boundary]:
        assert self._begin is not None
        first = self._begin + round(self._longest * (1 - SEARCHED_SHARE))
        at = self._quietest(max(first, self.floor), end)
        later = -(-at // FRAME_SAMPLES) - self._known_from  # frames before the rest
        goes_on = self.turns is None or any(self._sure[later:])
        if self.turns is None:
            yield Boundary(Edge.CUT, at)
        else:
            yield Boundary(Edge.END, at)
        self._begin, self._earliest = (at if goes_on else None), at
        self._known_from += later
        self._power, self._sure = self._power[later:], self._sure[later:]
        if goes_on and self.turns is not None:
            yield Boundary(Edge.START, at)

    def _quietest(self, first: int, end: int) -> int:
        """The middle of the quietest stretch of whole frames between two samples; of equals, the
        last; `end` where there are none.
        """
        frame = max(-(-first // FRAME_SAMPLES), self._known_from)
        power = np.round(self._power[frame - self._known_from :], 9)
        count = min(PAUSE_FRAMES, len(power))
        if not count:
            return end
        total = np.concatenate([[0.0], np.cumsum(power)])
        loudness = np.round(total[count:] - total[:-count], 9)
        place = len(loudness) - 1 - int(np.argmin(loudness[::-1]))
        return (frame + place) * FRAME_SAMPLES + count * FRAME_SAMPLES // 2
