"""Matrix products in int8 on a CPU: weights by output channel, activations by row on the fly.

A row's scale depends on nothing but the row, and sums of int8 products are exact, so that a row's
result never depends on the rows beside it. The operators are torch's own for oneDNN; they exist
in no public module.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812

log = logging.getLogger(__name__)

WEIGHT_LIMIT = 127  # Weights are whole numbers of at most this size.
# Activations are whole numbers of at most this size. Products of two pairs are summed in 16 bits
# on a CPU without VNNI: with 63 no sum is cut off there (2 * 127 * 127 < 2**15).
ACTIVATION_LIMIT = 63
ZERO = ACTIVATION_LIMIT + 1  # oneDNN wants numbers from 0 on; this one stands for 0.


@dataclass(frozen=True)
class Int8Matrix:
    """A matrix [out, in] in int8, packed for `linear` alone."""

    packed: torch.Tensor  # in oneDNN's blocked layout
    scales: torch.Tensor  # [out], float32: a weight is its whole number times this
    zeros: torch.Tensor  # the whole numbers that stand for 0 in the weights: 0


def is_usable() -> bool:
    """Return whether the operators exist here and compute what they should."""
    weight = torch.linspace(-1, 1, 48 * 64).reshape(48, 64)
    x, bias = torch.linspace(-1, 1, 5 * 64).reshape(5, 64).square(), weight[:, 0].contiguous()
    try:
        found = linear(x, pack(weight), bias, gelu=True)
    except (AttributeError, RuntimeError) as error:
        log.info("products in int8 are not available: %s", error)
        return False
    return bool(torch.allclose(found, F.gelu(F.linear(x, weight, bias)), atol=0.1, rtol=0.05))


def pack(weight: torch.Tensor) -> Int8Matrix:
    """Quantize and pack a matrix [out, in]."""
    peaks = weight.abs().amax(dim=1).float().clamp_(min=torch.finfo(torch.float32).tiny)
    scales = peaks / WEIGHT_LIMIT
    numbers = (weight / scales[:, None]).round_().to(torch.int8).contiguous()
    packed = torch.ops.onednn.qlinear_prepack(numbers, None)
    return Int8Matrix(packed, scales, torch.zeros(1, dtype=torch.int64))


def linear(
    x: torch.Tensor, matrix: Int8Matrix, bias: torch.Tensor | None, gelu: bool = False
) -> torch.Tensor:
    """Multiply [..., in] → [..., out], with GELU if asked."""
    rows = x.flatten(0, -2)
    scales = rows.abs().amax(dim=1, keepdim=True).clamp_(min=1e-30) / ACTIVATION_LIMIT  # [n, 1]
    numbers = (rows / scales).round_().add_(ZERO).to(torch.uint8)
    sums = torch.ops.onednn.qlinear_pointwise(
        numbers, 1.0, ZERO, matrix.packed, matrix.scales, matrix.zeros, None, 1.0, 0,
        torch.float32, "none", [], "",
    )  # fmt: skip
    y = sums.mul_(scales) if bias is None else torch.addcmul(bias, sums, scales)
    y = y.unflatten(0, x.shape[:-1]).to(x.dtype)
    return F.gelu(y) if gelu else y
