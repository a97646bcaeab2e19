"""Segmentation-3.0: who of at most three local speakers speaks in each frame of ten seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file

from asr.pcm import SAMPLE_RATE, Samples

WINDOW_SAMPLES = 10 * SAMPLE_RATE  # The network was trained on windows of this length.
LOCAL_SPEAKERS = 3  # In one window it tells so many speakers apart.
FRAME_STEP = 270  # samples from one frame to the next: 16.9 ms
FRAME_SAMPLES = 991  # One frame is computed from so many samples.
FRAMES = 589  # So many frames are in a window.
HIDDEN = 128  # width of each direction of a layer of the LSTM
LSTM_LAYERS = 4
CONV_STEP = 10  # samples from one value of the first convolution to the next

# Who speaks in each of the seven classes: nobody, one, or two of the three.
CLASSES = np.array(
    [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1)], bool
)

Classes = npt.NDArray[np.uint8]  # [frames], an index into CLASSES each


@dataclass(frozen=True)
class Segmentation:
    """The network.

    Source: pyannote/segmentation-3.0; "Powerset multi-class cross entropy loss for neural speaker
    diarization" (Plaquet and Bredin, 2023), with the layers of SincNet and an LSTM.
    """

    weights: dict[str, torch.Tensor]
    lstm: torch.nn.LSTM
    device: torch.device

    @classmethod
    def load(cls, path: Path, device: torch.device) -> Segmentation:
        """Read the weights that `models.speakers.make` writes."""
        weights = load_file(path, str(device))
        lstm = torch.nn.LSTM(
            60, HIDDEN, LSTM_LAYERS, batch_first=True, bidirectional=True, device=device
        )
        lstm.load_state_dict(
            {
                name.removeprefix("lstm."): weights.pop(name)
                for name in list(weights)
                if name.startswith("lstm.")
            }
        )
        return cls(weights, lstm.eval().requires_grad_(False), device)

    def classes(self, windows: Sequence[Samples]) -> list[Classes]:
        """The likeliest class of each frame of windows, [WINDOW_SAMPLES] to [FRAMES] each."""
        with torch.inference_mode():
            samples = [torch.from_numpy(window).to(self.device) for window in windows]
            scores = self.scores(torch.stack(samples))
            return list(scores.argmax(-1).to(torch.uint8).cpu().numpy())

    def scores(self, windows: torch.Tensor) -> torch.Tensor:
        """The scores before their softmax, [windows, WINDOW_SAMPLES] to [windows, FRAMES, 7]."""
        # What a convolution makes of one window is all that a core's cache holds.
        features = torch.cat([self._features(window) for window in windows.split(1)])
        hidden = features.transpose(1, 2)  # [windows, frames, 60]
        hidden, _ = self.lstm(hidden)  # [windows, frames, 2 * HIDDEN]
        for layer in ("linear.0", "linear.1"):
            hidden = F.leaky_relu(self._linear(layer, hidden))
        return self._linear("classifier", hidden)

    def _features(self, windows: torch.Tensor) -> torch.Tensor:
        """[windows, samples] to [windows, 60, frames]."""
        hidden = self._normed("sincnet.wav_norm1d", windows[:, None])
        for layer in range(3):
            product = f"sincnet.conv1d.{layer}."
            step = CONV_STEP if layer == 0 else 1
            bias = self.weights.get(product + "bias")
            hidden = F.conv1d(hidden, self.weights[product + "weight"], bias, stride=step)
            hidden = F.max_pool1d(hidden.abs_() if layer == 0 else hidden, 3)
            hidden = F.leaky_relu_(self._normed(f"sincnet.norm1d.{layer}", hidden))
        return hidden

    def _normed(self, name: str, hidden: torch.Tensor) -> torch.Tensor:
        weight, bias = self.weights[name + ".weight"], self.weights[name + ".bias"]
        return F.instance_norm(hidden, weight=weight, bias=bias)

    def _linear(self, name: str, hidden: torch.Tensor) -> torch.Tensor:
        return F.linear(hidden, self.weights[name + ".weight"], self.weights[name + ".bias"])
