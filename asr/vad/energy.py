"""Speech by its loudness: it rises and falls, while noise and hum stay as they are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from asr.pcm import Samples
from asr.vad.detector import CHUNK, Flags, Framer, Numbers, Span, chunks_between, has_run, spans

BAND = slice(6, 112)  # of the spectrum of a chunk: 190 to 3500 Hz, where voices are
TAPER = np.hanning(CHUNK).astype(np.float32)  # hum stays below the band
SCALE = 2 / CHUNK / float(np.sum(TAPER**2))  # to the mean square of the samples
STEP = 0.5  # dB, in which levels are kept
LOWEST = -100.0  # dBFS
QUIETEST_FLOOR = -80.0  # dBFS: below it lies no recorded speech
FLOOR_SHARE = 10  # % of the chunks that are taken for pauses
MEMORY_SECONDS = 10.0  # before a window, that its floor is found in too
POSSIBLE_DB = 4.0  # above the floor; noise strays by 3 at most for three chunks
LIKELY_DB, SURE_DB = 6.0, 10.0


class Energy:
    """One recording; keeps a byte for each chunk."""

    def __init__(self) -> None:
        self._chunks = Framer()
        self._levels = bytearray()

    def push(self, samples: Samples) -> None:
        self._take(self._chunks.push(samples))

    def finish(self) -> None:
        self._take(self._chunks.finish())

    def is_possible(self, start: float, end: float) -> bool:
        return has_run(self._above_floor(start, end) > POSSIBLE_DB)

    def spans(self, start: float, end: float) -> list[Span]:
        above = self._above_floor(start, end)
        likely: Flags = above > LIKELY_DB
        return spans(above > SURE_DB, likely, chunks_between(start, end).start)

    def _take(self, chunks: Samples) -> None:
        spectra = np.fft.rfft(chunks * TAPER, axis=1)[:, BAND]
        power = np.sum(np.square(spectra.real) + np.square(spectra.imag), axis=1) * SCALE
        levels = 10 * np.log10(np.maximum(power, 10 ** (LOWEST / 10)))
        self._levels += np.clip((levels - LOWEST) / STEP, 0, 255).astype(np.uint8).tobytes()

    def _above_floor(self, start: float, end: float) -> Numbers:
        """dB by which each chunk between `start` and `end` is above what is always there."""
        place = chunks_between(start, end)
        around = chunks_between(start - MEMORY_SECONDS, end)
        steps = np.frombuffer(bytes(self._levels[around]), np.uint8)
        levels: Numbers = steps * STEP + LOWEST
        if not len(levels):
            return levels
        floor = max(QUIETEST_FLOOR, _percentile(steps, FLOOR_SHARE) * STEP + LOWEST)
        return levels[place.start - around.start :] - floor


def _percentile(values: npt.NDArray[np.uint8], share: float) -> float:
    """As numpy's own, which takes several times as long for so few values."""
    ordered = np.sort(values)
    place = (len(ordered) - 1) * share / 100
    below, above = ordered[int(place) : int(place) + 2].astype(float)[[0, -1]].tolist()
    return float(below + (above - below) * (place - int(place)))
