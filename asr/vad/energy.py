"""Detects speech by its loudness, because noise and hum stay the same (VAD=energy)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from asr.pcm import Samples
from asr.vad.detector import Flags, Framer, Numbers, Span, frames_between, has_run, spans, spans_of
from asr.vad.loudness import LOWEST, RunningGain, levels

STEP = 0.5  # Levels and gains are stored in steps of this many dB.
QUIETEST_FLOOR = -80.0  # The noise floor is taken as at least this, in dBFS: speech is above it.
LOWEST_FLOOR = -100.0  # In a quiet recording it is at least this, in dBFS: dither is no speech.
DIGITAL_SILENCE = -110.0  # A level below this, in dBFS, is no noise: nothing was recorded.
FLOOR_SHARE = 10  # This percentile of the levels is the noise floor: so many frames are pauses.
MEMORY_SECONDS = 10.0  # The noise floor is also measured in this many seconds before a window.
POSSIBLE_DB = 4.0  # Speech is possible this far above the floor; noise reaches 3 at most.
LIKELY_DB, SURE_DB = 6.0, 10.0  # Speech is likely, and sure, this many dB above the floor.


class Energy:
    """Levels and gains of one recording; keeps two bytes for each frame."""

    def __init__(self) -> None:
        self._framer = Framer()
        self._gain = RunningGain()
        # [frames, 2]: level and gain. One array, for another thread reads while it grows.
        self._frames = bytearray()

    def push(self, samples: Samples) -> None:
        self._take(self._framer.push(samples))

    def finish(self) -> None:
        self._take(self._framer.finish())

    def is_possible(self, start: float, end: float) -> bool:
        return has_run(self._above_floor(start, end) > POSSIBLE_DB)

    def spans(self, start: float, end: float) -> list[Span]:
        above = self._above_floor(start, end)
        likely: Flags = above > LIKELY_DB
        first = frames_between(start, end).start
        return spans(above > SURE_DB, likely, first, self._framer.end)

    def certainty(self, start: float, end: float) -> None:
        """None: loud is not only a voice."""

    def voiced(self, start: float, end: float) -> list[Span]:
        first = frames_between(start, end).start
        likely: Flags = self._above_floor(start, end) > LIKELY_DB
        return spans_of(likely, first, self._framer.end)

    def _take(self, frames: Samples) -> None:
        measured = levels(frames)
        gains = self._gain.push(measured)
        self._frames += _steps(np.stack([measured - LOWEST, gains], axis=1))

    def _above_floor(self, start: float, end: float) -> Numbers:
        """dB by which each frame between `start` and `end` is above the noise floor."""
        place = frames_between(start, end)
        around = frames_between(start - MEMORY_SECONDS, end)
        part = bytes(self._frames[2 * around.start : 2 * around.stop])
        if not part:
            return np.zeros(0)
        steps, gains = np.frombuffer(part, np.uint8).reshape(-1, 2).T
        first = place.start - around.start
        floors = _floors(steps, gains[first:] * STEP)
        above: Numbers = steps[first:] * STEP + LOWEST - floors
        return above


def _floors(steps: npt.NDArray[np.uint8], gains: Numbers) -> Numbers:
    """The noise floor at each frame that has a gain, in dBFS."""
    floor = _percentile(steps, FLOOR_SHARE) * STEP + LOWEST
    recorded = steps[steps > (DIGITAL_SILENCE - LOWEST) / STEP]
    noise = _percentile(recorded, FLOOR_SHARE) * STEP + LOWEST if len(recorded) else LOWEST
    quietest = np.maximum(QUIETEST_FLOOR - gains, max(LOWEST_FLOOR, noise))
    floors: Numbers = np.maximum(floor, np.minimum(QUIETEST_FLOOR, quietest))
    return floors


def _steps(decibels: Numbers) -> bytes:
    """Round values of at least 0 dB down to whole steps, a byte each."""
    steps: npt.NDArray[np.uint8] = np.clip(decibels / STEP, 0, 255).astype(np.uint8)
    return steps.tobytes()


def _percentile(values: npt.NDArray[np.uint8], share: float) -> float:
    """Compute numpy's percentile, several times as fast for so few values."""
    ordered = np.sort(values)
    place = (len(ordered) - 1) * share / 100
    below, above = ordered[int(place) : int(place) + 2].astype(float)[[0, -1]].tolist()
    return float(below + (above - below) * (place - int(place)))
