"""CAM++: a voice as a vector."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file

from asr.diarization.filter_bank import FilterBank

SIZE = 192  # numbers of a voice
BLOCKS = ((12, 1), (24, 2), (16, 2))  # layers, dilation: of each block of dense layers
GROWTH = 32  # Each layer of a block appends so many channels.
POOLED_FRAMES = 100  # The gates of a layer change after so many of its frames.

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Gated:
    """The parts of so many frames that share their gates."""

    parts: torch.Tensor  # [frames], the part of each
    means: torch.Tensor  # [parts, frames], times frames: the mean of a part plus that of all

    @classmethod
    def of(cls, frames: int, device: torch.device) -> Gated:
        parts = torch.arange(frames, device=device) // POOLED_FRAMES
        inside = F.one_hot(parts).t().float()
        return cls(parts, inside / inside.sum(1, keepdim=True) + 1 / frames)


@dataclass(frozen=True)
class CamPlusPlus:
    """The network.

    Source: "CAM++: A Fast and Efficient Network for Speaker Verification Using Context-Aware
    Masking" (Wang et al., 2023); 3D-Speaker's model of 200,000 Chinese and English speakers.
    """

    weights: Tensors
    bank: FilterBank
    device: torch.device

    @classmethod
    def load(cls, path: Path, device: torch.device) -> CamPlusPlus:
        """Read the weights that `models.speakers.make` writes; they become float32."""
        weights = {name: _laid_out(one) for name, one in load_file(path, str(device)).items()}
        return cls(weights, FilterBank.of(device), device)

    def embedding(self, features: torch.Tensor) -> torch.Tensor:
        """The voice that some frames of the filter bank have, [frames, BANDS] to [SIZE]."""
        features = features - features.mean(0)
        hidden = self._linear("tdnn", self._unfolded(self._head(features))).relu_()
        gated = Gated.of(len(hidden), self.device)
        for number, (layers, dilation) in enumerate(BLOCKS, 1):
            hidden = self._block(f"block{number}", hidden, layers, dilation, gated)
            before = self._before(f"transit{number}.before", hidden)
            hidden = F.linear(before, self.weights[f"transit{number}.weight"])
        hidden = self._before("out", hidden)
        spread = hidden.std(0) if len(hidden) > 1 else torch.full_like(hidden[0], 1e-2)
        return self._linear("dense", torch.cat([hidden.mean(0), spread]))

    def _head(self, features: torch.Tensor) -> torch.Tensor:
        """The convolutions over time and frequency, [frames, BANDS] to [320, frames]."""
        hidden = self._conv("head.conv1", features.t()[None, None]).relu_()
        for layer in ("head.layer1", "head.layer2"):
            inner = self._conv(f"{layer}.0.conv1", hidden, stride=2).relu_()
            inner = self._conv(f"{layer}.0.conv2", inner)
            hidden = inner.add_(self._conv(f"{layer}.0.shortcut", hidden, 2, padding=0)).relu_()
            inner = self._conv(f"{layer}.1.conv1", hidden).relu_()
            hidden = self._conv(f"{layer}.1.conv2", inner).add_(hidden).relu_()
        hidden = self._conv("head.conv2", hidden, stride=2).relu_()
        return hidden[0].flatten(0, 1)

    def _conv(
        self, name: str, hidden: torch.Tensor, stride: int = 1, padding: int = 1
    ) -> torch.Tensor:
        weight, bias = self.weights[name + ".weight"], self.weights[name + ".bias"]
        return F.conv2d(hidden, weight, bias, (stride, 1), padding)

    def _unfolded(self, hidden: torch.Tensor) -> torch.Tensor:
        """Each second frame with two on either side, [320, frames] to [frames / 2, 320 * 5]."""
        steps = F.pad(hidden, (2, 2)).unfold(1, 5, 2)  # [320, frames / 2, 5]
        return steps.transpose(0, 1).flatten(1)

    def _block(
        self, name: str, hidden: torch.Tensor, layers: int, dilation: int, gated: Gated
    ) -> torch.Tensor:
        """Layers that each append their output to their input, [frames, channels]."""
        width = hidden.shape[1]
        whole = hidden.new_empty(len(hidden), width + layers * GROWTH)
        whole[:, :width] = hidden
        for number in range(1, layers + 1):
            known = whole[:, : width + (number - 1) * GROWTH]
            made = self._layer(f"{name}.{number}", known, dilation, gated)
            whole[:, known.shape[1] : known.shape[1] + GROWTH] = made
        return whole

    def _layer(self, name: str, known: torch.Tensor, dilation: int, gated: Gated) -> torch.Tensor:
        """One layer with its gates, [frames, channels] to [frames, GROWTH]."""
        inner = self._linear(name + ".inner", self._before(name + ".before", known)).relu_()
        taps = F.linear(inner, self.weights[name + ".local.weight"])  # [frames, 3 * GROWTH]
        local = taps[:, GROWTH : 2 * GROWTH].clone()
        local[dilation:] += taps[:-dilation, :GROWTH]
        local[:-dilation] += taps[dilation:, 2 * GROWTH :]
        squeezed = self._linear(name + ".squeeze", gated.means @ inner).relu_()
        gates = self._linear(name + ".gate", squeezed).sigmoid_()  # [parts, GROWTH]
        return local.mul_(gates[gated.parts])

    def _before(self, name: str, hidden: torch.Tensor) -> torch.Tensor:
        weights = self.weights
        return torch.addcmul(weights[name + ".shift"], hidden, weights[name + ".scale"]).relu_()

    def _linear(self, name: str, hidden: torch.Tensor) -> torch.Tensor:
        weight = self.weights[name + ".weight"]
        return F.linear(hidden, weight, self.weights[name + ".bias"])


def _laid_out(weight: torch.Tensor) -> torch.Tensor:
    """A weight in float32; convolutions are faster with their channels last."""
    if weight.dim() == 4:
        return weight.float().contiguous(memory_format=torch.channels_last)
    return weight.float()
