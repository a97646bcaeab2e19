"""Where somebody speaks: what a detector says of a recording, chunk by chunk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from asr.pcm import SAMPLE_RATE, Samples

CHUNK = 512  # samples judged at once: 32 ms
CHUNK_SECONDS = CHUNK / SAMPLE_RATE
LONGEST_PAUSE = 0.5  # seconds between words that belong to one span
SHORTEST_RUN = 3  # chunks: a click is shorter, and the beginning of a beep
SHORTEST_SPAN = 0.25  # seconds: a knock is shorter

Flags = npt.NDArray[np.bool_]  # one for each chunk
Numbers = npt.NDArray[np.floating[Any]]  # likewise


@dataclass(frozen=True)
class Span:
    """A stretch of a recording, in seconds from its start."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


class SpeechTrack(Protocol):
    """What a detector makes of one recording; `push` and `finish` may take their time."""

    def push(self, samples: Samples) -> None:
        """Take in what follows, [samples] of any length."""

    def finish(self) -> None:
        """Take in that nothing follows."""

    def is_possible(self, start: float, end: float) -> bool:
        """Whether anybody may be speaking between `start` and `end`; if in doubt, yes."""

    def spans(self, start: float, end: float) -> list[Span]:
        """Where somebody is surely speaking between `start` and `end`, in order."""


@dataclass(frozen=True)
class Detector:
    """What listens for speech."""

    begin: Callable[[float | None], SpeechTrack]  # a recording, at a threshold; None: at its own
    has_threshold: bool = False


class DetectorFeed:
    """Leads a detector through a recording no further than is asked: first words wait for less."""

    def __init__(self, hearing: SpeechTrack) -> None:
        self._hearing = hearing
        self._unheard: deque[Samples] = deque()
        self._heard = 0  # samples

    def take(self, samples: Samples) -> None:
        """Keep what follows, [samples] of any length, until it is to be heard."""
        self._unheard.append(samples)

    def hear(self, until: float) -> None:
        """Let the detector hear what lies before `until` seconds and has been taken."""
        wanted = round(until * SAMPLE_RATE)
        while self._unheard and self._heard < wanted:
            block = self._unheard.popleft()
            now, later = np.split(block, [wanted - self._heard])
            if len(later):
                self._unheard.appendleft(later)
            self._hearing.push(now)
            self._heard += len(now)

    def finish(self) -> None:
        """Let it hear the rest: nothing follows."""
        while self._unheard:
            self._hearing.push(self._unheard.popleft())
        self._hearing.finish()


class Framer:
    """Blocks of any length to whole chunks."""

    def __init__(self) -> None:
        self._rest: Samples = np.empty(0, np.float32)

    def push(self, samples: Samples) -> Samples:
        """The chunks that are whole now, [chunks, 512]."""
        held = np.concatenate([self._rest, samples])
        whole = len(held) // CHUNK * CHUNK
        self._rest = held[whole:].copy()
        return held[:whole].reshape(-1, CHUNK)

    def finish(self) -> Samples:
        """The last chunk, filled up with silence; none where nothing is left."""
        missing = -len(self._rest) % CHUNK
        return self.push(np.zeros(missing, np.float32))


def chunks_between(start: float, end: float) -> slice:
    """The chunks that lie between two times, in part or in whole."""
    return slice(max(0, int(start / CHUNK_SECONDS)), max(0, int(np.ceil(end / CHUNK_SECONDS))))


def spans(sure: Flags, likely: Flags, first: int) -> list[Span]:
    """Runs of `likely` chunks with a `sure` one among them, joined over short pauses.

    Args:
        first: the number of the first chunk in the recording.
    """
    found: list[Span] = []
    for begin, end in runs(likely):
        if end - begin < SHORTEST_RUN or not sure[begin:end].any():
            continue
        span = Span((first + begin) * CHUNK_SECONDS, (first + end) * CHUNK_SECONDS)
        if found and span.start - found[-1].end <= LONGEST_PAUSE:
            span = Span(found.pop().start, span.end)
        found.append(span)
    return [span for span in found if span.seconds >= SHORTEST_SPAN]


def has_run(flags: Flags) -> bool:
    """Whether some chunks in a row are flagged: as many as a short sound of a voice lasts."""
    return any(end - begin >= SHORTEST_RUN for begin, end in runs(flags))


def runs(flags: Flags) -> Iterator[tuple[int, int]]:
    """First and one past the last of each run of true flags."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
