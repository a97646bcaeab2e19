"""Keeps decoded audio at the times of its container: late starts and holes become silence."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from asr.pcm import BLOCK_SECONDS, SAMPLE_RATE, Samples

# The clock of a container may differ from the length of its audio by so many seconds: encoders add
# and cut samples, and timestamps are rounded. A larger difference is a hole.
SHORTEST_SECONDS = 0.1
SHORTEST_START_SECONDS = 0.2  # So it is at the start: decoders of WMA begin 0.13 s late.
LONGEST_SECONDS = 3600.0  # A jump over more seconds is no hole: the clock is another one.
MOST_SECONDS = 86_400.0  # Holes get at most so many seconds of silence together.
RESTART_SECONDS = 1.0  # A clock that goes back by more seconds has been started again.

# Containers that give a time to every piece of audio, by ffmpeg's first name. The times of others,
# such as mp3 and avi, are computed from their bytes.
CLOCKS_FROM_ZERO = frozenset({"matroska", "mov"})
OTHER_CLOCKS = frozenset({"asf", "flv", "mpeg", "mpegts", "ogg"})  # They begin at any time.


def clock_start(format_name: str, start: float | None) -> float | None:
    """The time at which a container's clock begins, in seconds; None where it has no clock.

    Args:
        format_name: ffmpeg's names of the container, with commas between them.
        start: the first time of all its streams.
    """
    name = format_name.partition(",")[0]
    if name in CLOCKS_FROM_ZERO:
        return 0.0
    return start if name in OTHER_CLOCKS else None


@dataclass(frozen=True)
class ClockMark:
    """The time of one frame of audio, by its container."""

    position: float  # seconds of audio decoded before it, since the decoder last began anew
    time: float  # seconds


class Timeline:
    """Places the blocks of one recording at their times.

    Args:
        start: the time at which the container's clock begins, in seconds.
    """

    def __init__(self, start: float) -> None:
        self._offset = start  # from the timeline's seconds to the container's
        self._begun = 0  # samples decoded before the decoder last began anew
        self._marked = 0  # samples decoded before the last mark
        self._decoded = 0  # samples decoded
        self._silence = 0  # samples of silence, placed or to be placed
        self._holes: deque[tuple[int, int]] = deque()  # (samples decoded before it, its samples)

    def mark(self, mark: ClockMark) -> None:
        """Learn the time of a frame, before its block is placed; marks come in their order."""
        if mark.position == 0 and self._marked:
            self._begun = self._continued(mark.time)
        shortest = SHORTEST_SECONDS if self._marked else SHORTEST_START_SECONDS
        at = self._begun + round(mark.position * SAMPLE_RATE)
        self._marked = max(self._marked, at, 1)
        gap = mark.time - self._offset - (at + self._silence) / SAMPLE_RATE  # seconds
        is_possible = gap + self._silence / SAMPLE_RATE <= MOST_SECONDS
        if not -RESTART_SECONDS <= gap <= LONGEST_SECONDS or not is_possible:
            self._offset += gap
        elif gap >= shortest:
            hole = round(gap * SAMPLE_RATE)
            self._holes.append((at, hole))
            self._silence += hole

    def placed(self, block: Samples) -> Iterator[Samples]:
        """Give out the next decoded block, with the silence before and in it.

        Blocks are [samples] or [samples, channels].
        """
        while self._holes and self._holes[0][0] < self._decoded + len(block):
            at, hole = self._holes.popleft()
            before = max(0, at - self._decoded)
            yield block[:before]
            self._decoded += before
            block = block[before:]
            yield from _silence(hole, block)
        self._decoded += len(block)
        yield block

    def _continued(self, time: float) -> int:
        """The samples decoded before the decoder began anew at `time`.

        It does so where the format of the audio changes. How much it had given out is not told:
        its clock tells it, unless that was started again too.
        """
        expected = round((time - self._offset) * SAMPLE_RATE) - self._silence
        return expected if expected >= self._marked else max(self._marked, self._decoded)


def _silence(count: int, other: Samples) -> Iterator[Samples]:
    """Silence of `count` samples, in blocks with the channels of another one."""
    longest = BLOCK_SECONDS * SAMPLE_RATE
    for start in range(0, count, longest):
        yield np.zeros((min(longest, count - start), *other.shape[1:]), np.float32)
