"""Puts the segments of several channels in the order of time."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

from asr.transcript import Segment

BY_TIME = attrgetter("start", "channel")


class Merger:
    """Holds segments back until no channel can have an earlier one."""

    def __init__(self) -> None:
        self._held: list[Segment] = []

    def push(self, segments: Iterable[Segment], until: float) -> tuple[Segment, ...]:
        """Take segments of a channel; those that are now in order.

        Args:
            until: no segment that is still to come starts before so many seconds.
        """
        self._held = sorted([*self._held, *segments], key=BY_TIME)
        count = sum(segment.start < until for segment in self._held)
        given, self._held = self._held[:count], self._held[count:]
        return tuple(given)
