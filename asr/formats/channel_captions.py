"""Puts the cues of several channels in the order of time; cues of two channels may overlap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from asr.formats.captions import Captioner, Cue
from asr.transcript import Segment

Place = int | None  # a channel; None: all are mixed


@dataclass(eq=False)
class _Track:
    """The cues of one channel."""

    captioner: Captioner
    number: int = 0  # of the last segment


class ChannelCaptioner:
    """Turns the segments of all channels, in the order of their starts, into cues in that order.

    Without channels it is one Captioner.

    Args:
        make: returns a new Captioner.
    """

    def __init__(self, make: Callable[[], Captioner]) -> None:
        self._make = make
        self._tracks: dict[Place, _Track] = {}
        self._waiting: list[tuple[Cue, int]] = []  # final ones, with the number of their segment
        self._count = 0  # segments

    @property
    def holds_back(self) -> int:
        """Of the segments so far, how many of the last ones have cues that are not given out."""
        held = [track.number for track in self._tracks.values() if track.captioner.held is not None]
        numbers = [*held, *(number for _, number in self._waiting)]
        if None in self._tracks or not numbers:
            return 1
        return max(1, self._count - min(numbers) + 1)

    def push(self, segment: Segment) -> list[Cue]:
        """Take the next segment; return the cues that are now final and in order."""
        self._count += 1
        if segment.channel not in self._tracks:
            self._tracks[segment.channel] = _Track(self._make())
        track = self._tracks[segment.channel]
        if segment.channel is None:
            return track.captioner.push(segment)
        start = round(segment.start * 1000)
        for other in self._tracks.values():
            if other is not track:
                self._waiting += [(cue, other.number) for cue in other.captioner.close(start)]
        held, before, track.number = track.captioner.held, track.number, self._count
        for place, cue in enumerate(track.captioner.push(segment)):
            is_older = place == 0 and held is not None
            self._waiting.append((cue, before if is_older else self._count))
        return self._taken(start)

    def finish(self) -> list[Cue]:
        """Return the cues that were held back: no segment follows."""
        for track in self._tracks.values():
            self._waiting += [(cue, track.number) for cue in track.captioner.finish()]
        return self._taken(None)

    def _taken(self, before: int | None) -> list[Cue]:
        """The cues that nothing can precede any more: those that start before the next segment."""
        held = [
            track.captioner.held.start
            for track in self._tracks.values()
            if track.captioner.held is not None
        ]
        if before is not None:
            held.append(before)
        self._waiting.sort(key=lambda pair: pair[0].start)
        count = sum(not held or cue.start < min(held) for cue, _ in self._waiting)
        given, self._waiting = self._waiting[:count], self._waiting[count:]
        return [cue for cue, _ in given]
