"""Follows the loudness of a recording, so that a quiet voice is judged like a loud one."""

from __future__ import annotations

import numpy as np

from asr.pcm import Samples
from asr.vad.detector import FRAME_SAMPLES, FRAME_SECONDS, SHORTEST_RUN, Numbers

BAND = slice(6, 112)  # Of a frame's spectrum, 190 to 3500 Hz count: voices are there.
TAPER = np.hanning(FRAME_SAMPLES).astype(np.float32)  # It keeps hum below the band.
SCALE = 2 / FRAME_SAMPLES / float(np.sum(TAPER**2))  # It makes power the samples' mean square.
LOWEST = -120.0  # A lower level counts as this, in dBFS.
USUAL = -40.0  # A recording whose voices reach this level, in dBFS, is judged as it is.
MOST_GAIN = 40.0  # A quieter one is judged as if it were louder, by at most so many dB.
FALL = 8.0  # The running level falls by so many dB per second: a short pause hardly changes it.


def levels(frames: Samples) -> Numbers:
    """Measure the level of each frame within the band of voices, in dBFS.

    Args:
        frames: [frames, 512].
    """
    spectra = np.fft.rfft(frames * TAPER, axis=1)[:, BAND]
    power = np.sum(np.square(spectra.real) + np.square(spectra.imag), axis=1) * SCALE
    measured: Numbers = 10 * np.log10(np.maximum(power, 10 ** (LOWEST / 10)))
    return measured


class RunningGain:
    """The gain at which a recording's frames are judged, frame by frame.

    It follows a running level: three frames in a row raise it at once, so that a click does not,
    and it falls slowly. Only frames up to the one that is judged count, however they arrive.
    """

    def __init__(self) -> None:
        self._level = LOWEST  # after the last frame
        self._last = np.full(SHORTEST_RUN - 1, LOWEST)  # levels of the last frames

    def push(self, measured: Numbers) -> Numbers:
        """Take the levels of the next frames; return the gain for each, in dB, [frames]."""
        if not len(measured):
            return measured
        known = np.concatenate([self._last, measured.astype(np.float64)])
        self._last = known[len(measured) :]
        lasting = np.min([known[n : n + len(measured)] for n in range(SHORTEST_RUN)], axis=0)
        fallen = FALL * FRAME_SECONDS * np.arange(1, len(measured) + 1)
        risen = np.maximum.accumulate(np.concatenate([[self._level], lasting + fallen]))
        running = risen[1:] - fallen
        self._level = float(running[-1])
        gains: Numbers = np.clip(USUAL - np.maximum(running, measured), 0.0, MOST_GAIN)
        return gains


def amplified(frames: Samples, gains: Numbers) -> Samples:
    """Return the frames, [frames, 512], each louder by its gain in dB."""
    if not gains.any():
        return frames
    louder: Samples = frames * np.power(10, gains / 20).astype(np.float32)[:, None]
    return louder
