"""Converts the bytes that a client sends to 16 kHz samples, as they come."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

from asr.live.options import LiveAudio
from asr.pcm import FULL_SCALE, SAMPLE_RATE, Samples

G711_LEVELS = 1 << 8  # A byte of G.711 is one of so many levels.
MU_BIAS = 0x84  # μ-law adds so much to a level before it is coded, on the scale of 16 bits.

Integers = npt.NDArray[np.int64]


class AudioInput:
    """Converts one stream of bytes; what is left of a sample waits for its other byte."""

    def __init__(self, audio: LiveAudio) -> None:
        self._table = {"pcm": None, "pcmu": mu_law(), "pcma": a_law()}[audio.encoding]
        self._resampler = None
        if audio.rate != SAMPLE_RATE:
            self._resampler = soxr.ResampleStream(audio.rate, SAMPLE_RATE, 1, dtype="float32")
        self._odd = b""

    def push(self, data: bytes, is_last: bool = False) -> Samples:
        """Convert the next bytes to [samples]; the last ones release what the resampler holds."""
        samples = self._decoded(data)
        if self._resampler is None:
            return samples
        resampled: Samples = self._resampler.resample_chunk(samples, last=is_last)
        return resampled.clip(-1.0, 1.0)

    def _decoded(self, data: bytes) -> Samples:
        if self._table is not None:
            coded: Samples = self._table[np.frombuffer(data, np.uint8)]
            return coded
        data = self._odd + data
        whole = len(data) // 2 * 2
        self._odd = data[whole:]
        integers = np.frombuffer(data, "<i2", whole // 2)
        samples: Samples = np.multiply(integers, np.float32(1 / FULL_SCALE), dtype=np.float32)
        return samples


def mu_law() -> Samples:
    """The sample of each byte in G.711's μ-law, [256] (ITU-T G.711, table 2)."""
    sign, exponent, mantissa = _parts(np.arange(G711_LEVELS) ^ 0xFF)
    return _scaled(sign, (((mantissa << 3) + MU_BIAS) << exponent) - MU_BIAS)


def a_law() -> Samples:
    """The sample of each byte in G.711's A-law, [256] (ITU-T G.711, table 1)."""
    sign, exponent, mantissa = _parts(np.arange(G711_LEVELS) ^ 0x55)
    small = (mantissa << 4) + 8
    large = ((mantissa << 4) + 0x108) << np.maximum(exponent - 1, 0)
    return _scaled(~sign, np.where(exponent == 0, small, large))


def _parts(codes: Integers) -> tuple[npt.NDArray[np.bool_], Integers, Integers]:
    return (codes & 0x80) != 0, (codes >> 4) & 0x07, codes & 0x0F


def _scaled(is_negative: npt.NDArray[np.bool_], magnitude: Integers) -> Samples:
    samples = np.where(is_negative, -magnitude, magnitude) / np.float32(FULL_SCALE)
    return samples.astype(np.float32)
