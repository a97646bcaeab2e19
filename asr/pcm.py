"""Converts PCM of any rate, mono or stereo, to the models' input: 16 kHz mono."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

SAMPLE_RATE = 16_000  # All audio is resampled to so many samples per second.
MIXED_CHANNELS = 2  # Audio with more channels is left to ffmpeg, which knows what each of them is.
LOWEST_RATE = 1_000  # Fewer samples per second are refused: a few bytes would be hours of audio.
HIGHEST_RATE = 768_000  # Audio of a higher rate is left to ffmpeg: one second could be gigabytes.
BLOCK_SECONDS = 10  # So many seconds are decoded at a time.
BLOCK_RATE = 100_000  # At a rate above this, in samples per second, a block is shorter.
FULL_SCALE = 32_768  # A 16-bit sample of this size would be 1.0.

Samples = npt.NDArray[np.float32]  # [samples], 16 kHz mono, -1..1
Frames = npt.NDArray[np.float32] | npt.NDArray[np.int16]  # [frames, channels]


class Resampler:
    """Converts one recording to 16 kHz mono, block by block."""

    def __init__(self, rate: int) -> None:
        self._resampler = None
        if rate != SAMPLE_RATE:
            self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")

    @property
    def holds_back(self) -> bool:
        """Whether samples may still follow when all frames have been pushed."""
        return self._resampler is not None

    def push(self, frames: Frames, is_last: bool) -> Samples:
        """Convert the next [frames, channels] to [samples]."""
        mixed = _mixed(frames)
        if self._resampler is None:
            return mixed
        resampled: Samples = self._resampler.resample_chunk(mixed, last=is_last)
        return resampled.clip(-1.0, 1.0)


def _mixed(frames: Frames) -> Samples:
    """Mix [frames, channels] to [frames]; NaN becomes silence, values outside -1..1 are clipped."""
    if frames.dtype == np.int16:
        return mixed_integers(frames)
    floats: Samples = np.nan_to_num(frames, copy=False, nan=0.0, posinf=1.0, neginf=-1.0)
    np.clip(floats, -1.0, 1.0, out=floats)
    return floats[:, 0] if floats.shape[1] == 1 else (floats[:, 0] + floats[:, 1]) * np.float32(0.5)


def mixed_integers(frames: Frames) -> Samples:
    """Mix 16-bit [frames, channels] to [frames], -1..1."""
    if frames.shape[1] == 1:
        return np.multiply(frames[:, 0], np.float32(1 / FULL_SCALE), dtype=np.float32)
    both: Samples = np.add(frames[:, 0], frames[:, 1], dtype=np.float32)
    both *= np.float32(0.5 / FULL_SCALE)
    return both


def peak(samples: Samples) -> float:
    """The largest absolute value of `samples`, [samples]; 0 for none."""
    return max(float(np.max(samples, initial=0.0)), -float(np.min(samples, initial=0.0)))
