"""Voice activity detection (VAD): the contract of a detector, its input frames, its spans."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from asr.pcm import SAMPLE_RATE, Samples

FRAME_SAMPLES = 512  # A detector judges this many samples at once: 32 ms.
FRAME_SECONDS = FRAME_SAMPLES / SAMPLE_RATE
LONGEST_PAUSE = 0.5  # Spans with a pause of at most this many seconds between them are joined.
SHORTEST_RUN = 3  # A sound of fewer frames is no speech: a click, or the beginning of a beep.
CERTAIN_FRAMES = 8  # A voice is as certain as the mean of so many frames: a quarter second.
SHORTEST_SPAN = 0.25  # A span of fewer seconds is dropped: it is a knock.

Flags = npt.NDArray[np.bool_]  # one for each frame
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
    """A detector's result for one recording.

    `push` and `finish` may take long; the others may be called in another thread meanwhile. What
    they say of a stretch does not change any more once all of its frames are known.
    """

    def push(self, samples: Samples) -> None:
        """Take the next samples, [samples] of any length."""

    def finish(self) -> None:
        """Take the end of the recording: no samples follow."""

    def is_possible(self, start: float, end: float) -> bool:
        """Whether anybody may be speaking between `start` and `end`; True where it is unclear."""

    def spans(self, start: float, end: float) -> list[Span]:
        """Where somebody is surely speaking between `start` and `end`, in order."""

    def certainty(self, start: float, end: float) -> float | None:
        """The probability of a voice in the likeliest quarter second between two times.

        None where the detector does not tell a voice from other sounds.
        """

    def voiced(self, start: float, end: float) -> list[Span]:
        """Where a voice is heard, frame by frame: without its pauses, however short."""


class TrackUntil:
    """A track up to a moment of its recording: later samples change nothing in it.

    Args:
        track: may go on growing, in another thread, too.
        end: seconds from the recording's start; a frame that ends later does not count.
    """

    def __init__(self, track: SpeechTrack, end: float) -> None:
        self._track = track
        # The middle of the last frame: no rounding makes it that of another one.
        self._end = (round(end * SAMPLE_RATE) // FRAME_SAMPLES - 0.5) * FRAME_SECONDS

    def push(self, samples: Samples) -> None:
        """Refuse samples: none can follow.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(f"a track that has ended was given {len(samples)} samples")

    def finish(self) -> None:
        """Do nothing: no samples follow."""

    def is_possible(self, start: float, end: float) -> bool:
        return self._track.is_possible(start, min(end, self._end))

    def spans(self, start: float, end: float) -> list[Span]:
        return self._track.spans(start, min(end, self._end))

    def certainty(self, start: float, end: float) -> float | None:
        return self._track.certainty(start, min(end, self._end))

    def voiced(self, start: float, end: float) -> list[Span]:
        return self._track.voiced(start, min(end, self._end))


@dataclass(frozen=True)
class Detector:
    """A way to detect speech, which begins a new track for each recording."""

    begin: Callable[[float | None], SpeechTrack]  # takes a threshold; None: its own
    has_threshold: bool = False


class DetectorFeed:
    """Passes a recording to a detector, only as far as is needed.

    The first window does not wait until later ones have been judged.
    """

    def __init__(self, track: SpeechTrack) -> None:
        self._track = track
        self._waiting: deque[Samples] = deque()
        self._passed = 0  # samples

    def take(self, samples: Samples) -> None:
        """Keep the next samples, [samples] of any length, until `advance` passes them on."""
        self._waiting.append(samples)

    def advance(self, until: float) -> None:
        """Pass on the frames that begin before `until` seconds, as far as they were taken."""
        wanted = frames_between(0.0, until).stop * FRAME_SAMPLES
        while self._waiting and self._passed < wanted:
            block = self._waiting.popleft()
            now, later = np.split(block, [wanted - self._passed])
            if len(later):
                self._waiting.appendleft(later)
            self._track.push(now)
            self._passed += len(now)

    def finish(self) -> None:
        """Pass on all that is left: no samples follow."""
        while self._waiting:
            self._track.push(self._waiting.popleft())
        self._track.finish()


class Framer:
    """Cuts blocks of any length into whole frames."""

    def __init__(self) -> None:
        self._rest: Samples = np.empty(0, np.float32)
        self._samples = 0  # so many were pushed
        self.end = math.inf  # seconds: of the recording, as soon as it is known

    def push(self, samples: Samples) -> Samples:
        """Take samples; return the frames that are complete now, [frames, 512]."""
        self._samples += len(samples)
        held = np.concatenate([self._rest, samples])
        whole = len(held) // FRAME_SAMPLES * FRAME_SAMPLES
        self._rest = held[whole:].copy()
        return held[:whole].reshape(-1, FRAME_SAMPLES)

    def finish(self) -> Samples:
        """Return the last frame, filled up with silence; none where nothing is left."""
        self.end = self._samples / SAMPLE_RATE
        missing = -len(self._rest) % FRAME_SAMPLES
        return self.push(np.zeros(missing, np.float32))


def frames_between(start: float, end: float) -> slice:
    """The frames that lie between two times in seconds, in part or in whole."""
    return slice(max(0, int(start / FRAME_SECONDS)), max(0, int(np.ceil(end / FRAME_SECONDS))))


def spans(sure: Flags, likely: Flags, first: int, latest: float = math.inf) -> list[Span]:
    """Runs of `likely` frames with a `sure` one among them, joined over short pauses.

    Args:
        first: the number of the first frame in the recording.
        latest: the recording's end, in seconds, which may lie within the last frame.
    """
    joined: list[Span] = []
    for begin, end in runs(likely):
        if end - begin < SHORTEST_RUN or not sure[begin:end].any():
            continue
        span = _span(first + begin, first + end, latest)
        if joined and span.start - joined[-1].end <= LONGEST_PAUSE:
            span = Span(joined.pop().start, span.end)
        joined.append(span)
    return [span for span in joined if span.seconds >= SHORTEST_SPAN]


def likeliest(probabilities: Numbers) -> float:
    """The highest mean of a quarter second of frames, or of all if fewer; 0 without any."""
    count = min(CERTAIN_FRAMES, len(probabilities))
    if not count:
        return 0.0
    total = np.concatenate([[0.0], np.cumsum(probabilities, dtype=np.float64)])
    return float(np.max(total[count:] - total[:-count])) / count


def spans_of(flags: Flags, first: int, latest: float = math.inf) -> list[Span]:
    """Each run of true flags as a span, pauses left as they are.

    Args:
        first: the number of the first frame in the recording.
        latest: the recording's end, in seconds, which may lie within the last frame.
    """
    return [_span(first + begin, first + end, latest) for begin, end in runs(flags)]


def _span(begin: int, end: int, latest: float) -> Span:
    return Span(begin * FRAME_SECONDS, min(end * FRAME_SECONDS, latest))


def has_run(flags: Flags) -> bool:
    """Whether enough frames in a row are flagged for a short sound of a voice."""
    return any(end - begin >= SHORTEST_RUN for begin, end in runs(flags))


def runs(flags: Flags) -> Iterator[tuple[int, int]]:
    """Yield each run of true flags: its first frame, and one past its last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
