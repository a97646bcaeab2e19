"""The features of the speaker network: Kaldi's filter bank of 80 mel bands."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from asr.pcm import SAMPLE_RATE

FRAME_STEP = 160  # samples from one frame to the next: 10 ms
FRAME_SAMPLES = 400  # One frame is computed from so many samples: 25 ms.
BANDS = 80
PREEMPHASIS = 0.97  # From each sample so much of the one before is subtracted.
WINDOW_POWER = 0.85  # Povey's window is Hann's to this power.
FOURIER_SAMPLES = 512  # A frame is padded to so many samples.
LOWEST_HZ = 20.0  # The lowest band begins at this frequency.
FLOOR = 1.1920929e-07  # An energy below this, the epsilon of float32, counts as this.


@dataclass(frozen=True)
class FilterBank:
    """Computes log energies of mel bands as Kaldi does, without dither.

    Source: kaldi, feat/feature-fbank.cc and feat/mel-computations.cc.
    """

    window: torch.Tensor  # [FRAME_SAMPLES]
    bands: torch.Tensor  # [FOURIER_SAMPLES / 2 + 1, BANDS]

    @classmethod
    def of(cls, device: torch.device) -> FilterBank:
        hann = torch.hann_window(FRAME_SAMPLES, periodic=False, dtype=torch.float64)
        return cls((hann**WINDOW_POWER).float().to(device), _bands().float().to(device))

    def features(self, samples: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """The features of some frames, [samples] and [n] to [n, BANDS]."""
        cut = samples.unfold(0, FRAME_SAMPLES, FRAME_STEP)[frames]
        cut = cut - cut.mean(1, keepdim=True)
        before = torch.cat([cut[:, :1], cut[:, :-1]], 1)
        spectra = torch.fft.rfft((cut - PREEMPHASIS * before) * self.window, FOURIER_SAMPLES)
        power = spectra.real.square() + spectra.imag.square()
        return (power @ self.bands).clamp_min(FLOOR).log()


def count(samples: int) -> int:
    """How many whole frames so many samples have."""
    return max(0, (samples - FRAME_SAMPLES) // FRAME_STEP + 1)


def _bands() -> torch.Tensor:
    """The weights of the triangular bands, [FOURIER_SAMPLES / 2 + 1, BANDS], float64."""
    edges = torch.linspace(_mel(LOWEST_HZ), _mel(SAMPLE_RATE / 2), BANDS + 2, dtype=torch.float64)
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    places = FOURIER_SAMPLES // 2 + 1
    mels = torch.tensor([_mel(i * SAMPLE_RATE / FOURIER_SAMPLES) for i in range(places)])
    mels = mels.double()[:, None]
    rising, falling = (mels - left) / (middle - left), (right - mels) / (right - middle)
    bands = torch.minimum(rising, falling).clamp_min(0)
    bands[-1] = 0  # Kaldi leaves the highest frequency out.
    return bands


def _mel(frequency: float) -> float:
    return 1127.0 * math.log(1.0 + frequency / 700.0)
