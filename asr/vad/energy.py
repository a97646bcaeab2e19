"""Detects speech by its loudness, because noise and hum stay the same (VAD=energy)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from asr.pcm import Samples
from asr.vad.detector import (
    FRAME_SAMPLES,
    Flags,
    Framer,
    Numbers,
    Span,
    frames_between,
    has_run,
    spans,
)

BAND = slice(6, 112)  # Of a frame's spectrum, 190 to 3500 Hz count: voices are there.
TAPER = np.hanning(FRAME_SAMPLES).astype(np.float32)  # It keeps hum below the band.
SCALE = 2 / FRAME_SAMPLES / float(np.sum(TAPER**2))  # It makes power the samples' mean square.
STEP = 0.5  # Levels are stored in steps of this many dB.
LOWEST = -100.0  # A lower level is stored as this one, in dBFS.
QUIETEST_FLOOR = -80.0  # The noise floor is taken as at least this, in dBFS: speech is above it.
FLOOR_SHARE = 10  # This percentile of the levels is the noise floor: so many frames are pauses.
MEMORY_SECONDS = 10.0  # The noise floor is also measured in this many seconds before a window.
POSSIBLE_DB = 4.0  # Speech is possible this far above the floor; noise reaches 3 at most.
LIKELY_DB, SURE_DB = 6.0, 10.0  # Speech is likely, and sure, this many dB above the floor.


class Energy:
    """Levels of one recording; keeps a byte for each frame."""

    def __init__(self) -> None:
        self._framer = Framer()
        self._levels = bytearray()

    def push(self, samples: Samples) -> None:
        self._take(self._framer.push(samples))

    def finish(self) -> None:
        self._take(self._framer.finish())

    def is_possible(self, start: float, end: float) -> bool:
        return has_run(self._above_floor(start, end) > POSSIBLE_DB)

    def spans(self, start: float, end: float) -> list[Span]:
        above = self._above_floor(start, end)
        likely: Flags = above > LIKELY_DB
        return spans(above > SURE_DB, likely, frames_between(start, end).start)

    def certainty(self, start: float, end: float) -> None:
        """None: loud is not only a voice."""

    def _take(self, frames: Samples) -> None:
        spectra = np.fft.rfft(frames * TAPER, axis=1)[:, BAND]
        power = np.sum(np.square(spectra.real) + np.square(spectra.imag), axis=1) * SCALE
        levels = 10 * np.log10(np.maximum(power, 10 ** (LOWEST / 10)))
        self._levels += np.clip((levels - LOWEST) / STEP, 0, 255).astype(np.uint8).tobytes()

    def _above_floor(self, start: float, end: float) -> Numbers:
        """dB by which each frame between `start` and `end` is above the noise floor."""
        place = frames_between(start, end)
        around = frames_between(start - MEMORY_SECONDS, end)
        steps = np.frombuffer(bytes(self._levels[around]), np.uint8)
        levels: Numbers = steps * STEP + LOWEST
        if not len(levels):
            return levels
        floor = max(QUIETEST_FLOOR, _percentile(steps, FLOOR_SHARE) * STEP + LOWEST)
        return levels[place.start - around.start :] - floor


def _percentile(values: npt.NDArray[np.uint8], share: float) -> float:
    """Compute numpy's percentile, several times as fast for so few values."""
    ordered = np.sort(values)
    place = (len(ordered) - 1) * share / 100
    below, above = ordered[int(place) : int(place) + 2].astype(float)[[0, -1]].tolist()
    return float(below + (above - below) * (place - int(place)))
