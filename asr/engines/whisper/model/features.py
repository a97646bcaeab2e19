"""Compute log-mel features of windows, as Whisper was trained on them, on the model's device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from asr.engines.loudness import audible

MEL_FLOOR = 1e-10  # Powers below this count as this.
DYNAMIC_RANGE = 8.0  # Powers are raised to at most this below the window's peak, in log10.


@dataclass(frozen=True)
class LogMel:
    """The settings of a checkpoint's features."""

    mel_filters: torch.Tensor  # [mels, frequencies]
    hann: torch.Tensor  # [samples of one frame]
    hop: int  # samples from frame to frame
    window_samples: int  # of a full window; shorter ones are padded with silence

    @classmethod
    def of(cls, extractor: Any, device: torch.device) -> LogMel:
        """Take the settings of a `WhisperFeatureExtractor`."""
        filters = torch.from_numpy(np.asarray(extractor.mel_filters, dtype=np.float32))
        return cls(
            mel_filters=filters.T.contiguous().to(device),
            hann=torch.hann_window(extractor.n_fft, device=device),
            hop=extractor.hop_length,
            window_samples=extractor.n_samples,
        )

    def pad(self, windows: Sequence[npt.NDArray[np.float32]]) -> torch.Tensor:
        """Make quiet windows louder, pad with silence → [windows, window_samples] on the device."""
        device = self.hann.device
        padded = torch.zeros(len(windows), self.window_samples, pin_memory=device.type == "cuda")
        for row, samples in zip(padded.numpy(), windows, strict=True):
            row[: len(samples)] = audible(samples)
        return padded.to(device, non_blocking=True)


def log_mel(samples: torch.Tensor, settings: LogMel) -> torch.Tensor:
    """Compute the features that `WhisperFeatureExtractor` makes of float32 PCM at 16 kHz.

    Args:
        samples: [windows, window_samples], -1..1.

    Returns:
        [windows, mels, frames], float32.
    """
    spectrum = torch.stft(
        samples,
        settings.hann.numel(),
        settings.hop,
        window=settings.hann,
        return_complex=True,
    )  # [windows, frequencies, frames + 1]
    power = spectrum[..., :-1].abs().square_()
    mels = settings.mel_filters @ power.contiguous()  # [windows, mels, frames]
    logs = mels.clamp_(min=MEL_FLOOR).log10_()
    peaks = logs.amax(dim=(1, 2), keepdim=True)
    return torch.maximum(logs, peaks - DYNAMIC_RANGE).add_(4.0).div_(4.0)
