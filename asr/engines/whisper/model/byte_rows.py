"""Rows of 8-bit numbers, each with its scale and its offset: fbgemm's tables, on a CPU."""

from __future__ import annotations

import functools
import logging

import torch

log = logging.getLogger(__name__)

RANGE_BYTES = 8  # A row ends with its scale and its offset, float32 each.


@functools.cache
def is_usable() -> bool:
    """Return whether the operators exist here and compute what they should."""
    values = torch.linspace(-1, 1, 24 * 16).view(24, 16)
    rows, starts = torch.arange(24, dtype=torch.int32), torch.tensor([0, 12, 24]).int()
    try:
        packed = pack(values)
        sums, unpacked = summed(packed, rows, starts, values[:, 0]), unpack(packed)
    except (AttributeError, RuntimeError) as error:
        log.info("rows of 8-bit numbers are not available: %s", error)
        return False
    expected = (values * values[:, :1]).view(2, 12, 16).sum(dim=1)
    is_summed = torch.allclose(sums, expected, atol=0.05)
    return bool(is_summed and torch.allclose(unpacked, values, atol=0.01))


def pack(numbers: torch.Tensor) -> torch.Tensor:
    """Bring the last dimension into 8 bits, [..., S] → uint8 [..., S + 8]."""
    packed = torch.ops.quantized.embedding_bag_byte_prepack(numbers.float().flatten(0, -2))
    return packed.unflatten(0, numbers.shape[:-1])


def unpack(packed: torch.Tensor) -> torch.Tensor:
    """Bring numbers back to float32, uint8 [..., S + 8] → [..., S]."""
    numbers = torch.ops.quantized.embedding_bag_byte_unpack(packed.flatten(0, -2))
    return numbers.unflatten(0, packed.shape[:-1])


def summed(
    table: torch.Tensor, rows: torch.Tensor, starts: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Sum rows of a table [rows, S + 8], times weights → [sums, S].

    Args:
        starts: where each sum begins in `rows`, and their end.
    """
    sums: torch.Tensor = torch.ops.quantized.embedding_bag_byte_rowwise_offsets(
        table, rows, starts, False, 0, False, weights.flatten().contiguous(), None, True
    )
    return sums
