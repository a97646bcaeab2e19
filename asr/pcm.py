"""PCM of any rate, in one channel or two, to what every model here hears: 16 kHz mono."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

SAMPLE_RATE = 16_000  # samples per second
MIXED_CHANNELS = 2  # at most; ffmpeg knows what more channels mean
LOWEST_RATE = 1_000  # samples per second: below, a few bytes would be hours of nothing
HIGHEST_RATE = 768_000  # of any recorder: beyond, a second could be gigabytes
BLOCK_SECONDS = 10  # decoded at a time
BLOCK_RATE = 100_000  # samples per second up to which a block is that long
FULL_SCALE = 32_768  # of 16-bit integers

Samples = npt.NDArray[np.float32]  # [samples], 16 kHz mono, -1..1
Frames = npt.NDArray[np.float32] | npt.NDArray[np.int16]  # [frames, channels]


class Resampler:
    """One recording, block by block."""

    def __init__(self, rate: int) -> None:
        self._resampler = None
        if rate != SAMPLE_RATE:
            self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")

    @property
    def holds_back(self) -> bool:
        """Whether samples may be left when no frames are."""
        return self._resampler is not None

    def push(self, frames: Frames, is_last: bool) -> Samples:
        mixed = _mixed(frames)
        if self._resampler is None:
            return mixed
        resampled: Samples = self._resampler.resample_chunk(mixed, last=is_last)
        return resampled.clip(-1.0, 1.0)


def _mixed(frames: Frames) -> Samples:
    """[frames, channels] to [frames]; what is no number is silence, what is too loud is cut."""
    if frames.dtype == np.int16:
        return mixed_integers(frames)
    heard: Samples = np.nan_to_num(frames, copy=False, nan=0.0, posinf=1.0, neginf=-1.0)
    np.clip(heard, -1.0, 1.0, out=heard)
    return heard[:, 0] if heard.shape[1] == 1 else (heard[:, 0] + heard[:, 1]) * np.float32(0.5)


def mixed_integers(frames: Frames) -> Samples:
    """[frames, channels] of 16 bits to [frames]: none of them is no number, or too loud."""
    if frames.shape[1] == 1:
        return np.multiply(frames[:, 0], np.float32(1 / FULL_SCALE), dtype=np.float32)
    both: Samples = np.add(frames[:, 0], frames[:, 1], dtype=np.float32)
    both *= np.float32(0.5 / FULL_SCALE)
    return both


def peak(samples: Samples) -> float:
    """The largest of `samples`, [n], by its size."""
    return max(float(np.max(samples, initial=0.0)), -float(np.min(samples, initial=0.0)))
