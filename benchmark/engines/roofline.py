"""What a machine could do at most: its own measured speed, and the work that Whisper asks for.

Decoding step by step is bound by reading the weights and each row's keys and values, encoding by
arithmetic. Nothing is counted but the model itself, and no overlap of the two.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

FRAMES = 1500  # of the encoder, in 30 s
OPENING = 4  # tokens before the first that is written
ROWS, WIDTH, WIDE = 6000, 1280, 5120  # of the measured product: four windows through a layer
READ_BYTES = 2**30  # several times any cache
MEASURED_SECONDS = 1.5
GPU_FACTOR = 8  # a GPU's product is that much longer


@dataclass(frozen=True)
class Peak:
    """What one machine reaches in one dtype."""

    flops: float  # multiplications and additions per second
    bandwidth: float  # bytes per second


@dataclass(frozen=True)
class Shape:
    """The numbers of a Whisper model that its work depends on."""

    width: int
    feed_width: int
    encoder_layers: int
    decoder_layers: int
    mels: int
    vocabulary: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Shape:
        """Read from a checkpoint's `config.json`."""
        return cls(
            config["d_model"],
            config["encoder_ffn_dim"],
            config["encoder_layers"],
            config["decoder_layers"],
            config["num_mel_bins"],
            config["vocab_size"],
        )

    @property
    def encoder_flops(self) -> float:
        """Of one window: two convolutions, then per layer four projections, feed, attention."""
        width = self.width
        convolutions = 2 * 2 * FRAMES * width * self.mels * 3 + 2 * FRAMES * width * width * 3
        layer = 2 * FRAMES * (4 * width**2 + 2 * width * self.feed_width) + 4 * FRAMES**2 * width
        return float(convolutions + self.encoder_layers * layer)

    @property
    def cross_flops(self) -> float:
        """Of one window: the keys and values that the decoder attends to."""
        return float(self.decoder_layers * 4 * FRAMES * self.width**2)

    @property
    def step_parameters(self) -> float:
        """Weights that every decode step reads: all of the decoder but the cross projections."""
        width, feed = self.width, self.feed_width
        attention = 4 * width**2 + 3 * width
        cross = 2 * width**2 + 2 * width
        layer = attention + cross + 2 * width * feed + feed + width + 6 * width
        return float(self.decoder_layers * layer + self.vocabulary * width + 2 * width)


def window_seconds(shape: Shape, peak: Peak, rows: int, tokens: float, itemsize: int) -> float:
    """The least that one window can take where `rows` of them are decoded together.

    Args:
        tokens: written in each window.
        itemsize: bytes of one weight, and of one key or value.
    """
    past = OPENING + tokens / 2
    parameters, layers, width = shape.step_parameters, shape.decoder_layers, shape.width
    keys_and_values = rows * layers * 2 * (FRAMES + past) * width * itemsize
    read = parameters * itemsize + keys_and_values + 6 * rows * shape.vocabulary
    flops = rows * (2 * parameters + layers * 4 * (FRAMES + past) * width)
    step = max(read / peak.bandwidth, flops / peak.flops)
    return (shape.encoder_flops + shape.cross_flops) / peak.flops + tokens * step / rows


def measure(device: torch.device, dtype: torch.dtype) -> Peak:
    """What this machine reaches now, on nothing but products and nothing but reading."""
    return Peak(_flops(device, dtype), _bandwidth(device))


def _flops(device: torch.device, dtype: torch.dtype) -> float:
    rows = ROWS * (GPU_FACTOR if device.type == "cuda" else 1)
    x = torch.randn(rows, WIDTH, device=device).to(dtype)
    weight = torch.randn(WIDE, WIDTH, device=device).to(dtype)
    work = 2.0 * rows * WIDTH * WIDE
    with torch.inference_mode():
        return max(work / _seconds(product, device) for product in _products(x, weight))


def _products(x: torch.Tensor, weight: torch.Tensor) -> list[Callable[[], torch.Tensor]]:
    """The ways to multiply that this torch has: as usual, and packed for oneDNN on a CPU."""
    ways: list[Callable[[], torch.Tensor]] = [lambda: F.linear(x, weight)]
    operators = torch.ops.mkldnn
    with contextlib.suppress(AttributeError, RuntimeError):  # private: another torch, or CPU
        packed = operators._reorder_linear_weight(weight, None)
        operators._linear_pointwise(x[:1], packed, None, "none", [], "")
        ways.append(lambda: operators._linear_pointwise(x, packed, None, "none", [], ""))
    return ways


def _bandwidth(device: torch.device) -> float:
    data = torch.ones(READ_BYTES // 4, device=device)
    reading = READ_BYTES / _seconds(data.sum, device)
    if device.type == "cpu":
        return reading
    target = torch.empty_like(data)
    return max(reading, 2 * READ_BYTES / _seconds(lambda: target.copy_(data), device))


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """The best of as many runs as a second or so allows: others use the machine, too."""
    work()
    taken: list[float] = []
    ends = time.monotonic() + MEASURED_SECONDS
    while time.monotonic() < ends or len(taken) < 3:
        _settle(device)
        started = time.perf_counter()
        work()
        _settle(device)
        taken.append(time.perf_counter() - started)
    return min(taken)


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
