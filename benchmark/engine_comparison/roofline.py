"""Compute the least time of a window from the machine's measured peaks.

Decoding step by step is bound by reading the weights and each row's keys and values, encoding by
arithmetic. Only the model itself is counted, and the two do not overlap.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

from benchmark.engine_comparison import formats

FRAMES = 1500  # The encoder has so many positions, for 30 s.
OPENING = 4  # So many tokens come before the first that is written.
# The measured product has these sizes: four windows through a layer.
ROWS, WIDTH, WIDE = 6000, 1280, 5120
READ_BYTES = 2**30  # So many bytes are read: several times any cache.
MEASURED_SECONDS = 1.5  # A measurement is repeated for so many seconds.
GPU_FACTOR = 8  # A GPU's product has so many times as many rows.


@dataclass(frozen=True)
class Peak:
    """Holds the highest speeds of one machine in one dtype."""

    flops: float  # multiplications and additions per second
    bandwidth: float  # bytes per second


@dataclass(frozen=True)
class Shape:
    """Holds the sizes of a Whisper model that its work depends on."""

    width: int
    feed_width: int
    encoder_layers: int
    decoder_layers: int
    mels: int
    vocabulary: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Shape:
        """Read the sizes from a checkpoint's `config.json`."""
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
        """Return the operations that encode one window.

        They are two convolutions, then in each layer four projections, the feed-forward part and
        attention.
        """
        width = self.width
        convolutions = 2 * 2 * FRAMES * width * self.mels * 3 + 2 * FRAMES * width * width * 3
        layer = 2 * FRAMES * (4 * width**2 + 2 * width * self.feed_width) + 4 * FRAMES**2 * width
        return float(convolutions + self.encoder_layers * layer)

    @property
    def cross_flops(self) -> float:
        """Return the operations for the keys and values of one window's cross-attention."""
        return float(self.decoder_layers * 4 * FRAMES * self.width**2)

    @property
    def step_parameters(self) -> float:
        """Return how many weights every decode step reads.

        They are all of the decoder's but the cross projections.
        """
        width, feed = self.width, self.feed_width
        attention = 4 * width**2 + 3 * width
        cross = 2 * width**2 + 2 * width
        layer = attention + cross + 2 * width * feed + feed + width + 6 * width
        return float(self.decoder_layers * layer + self.vocabulary * width + 2 * width)


def window_seconds(shape: Shape, peak: Peak, rows: int, tokens: float, itemsize: int) -> float:
    """Return the least seconds of one window where `rows` of them are decoded together.

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
    """Measure this machine's peaks: products alone, then reading memory alone."""
    return Peak(_flops(device, dtype), _bandwidth(device))


def int8_flops() -> float | None:
    """Measure how fast our engine multiplies in int8 on this CPU; None where it does not."""
    x, weight = torch.randn(ROWS, WIDTH), torch.randn(WIDE, WIDTH)
    with torch.inference_mode():
        product = formats.int8_product(weight)
        if product is None:
            return None
        return 2.0 * ROWS * WIDTH * WIDE / _seconds(lambda: product(x), torch.device("cpu"))


def _flops(device: torch.device, dtype: torch.dtype) -> float:
    rows = ROWS * (GPU_FACTOR if device.type == "cuda" else 1)
    x = torch.randn(rows, WIDTH, device=device).to(dtype)
    weight = torch.randn(WIDE, WIDTH, device=device).to(dtype)
    work = 2.0 * rows * WIDTH * WIDE
    with torch.inference_mode():
        return max(work / _seconds(product, device) for product in _products(x, weight))


def _products(x: torch.Tensor, weight: torch.Tensor) -> list[Callable[[], torch.Tensor]]:
    """Return the ways to multiply that this torch has.

    They are the usual one and, on a CPU, one with weights packed for oneDNN.
    """
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
    """Return the shortest of the runs that fit into the measured time.

    Other programs that use the machine slow some of them down.
    """
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
