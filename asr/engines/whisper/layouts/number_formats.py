"""The formats in which checkpoints write their numbers, and how each is read as floats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

BLOCK = 32  # ggml quantizes so many neighbouring numbers with one scale.
SCALE_BYTES = 2  # A block begins with its scale, a float16.
HIGH_BITS_BYTES = 4  # In q5_0 the fifth bits of a block follow, one bit for each number.
MIDDLE = 16  # q5_0 writes numbers from 0 to 31, which stand for -16 to 15.


@dataclass(frozen=True)
class NumberFormat:
    """How many bytes a group of numbers takes, and what they mean."""

    name: str
    group: int  # numbers that are written together
    group_bytes: int
    decode: Callable[[torch.Tensor], torch.Tensor]  # [groups, bytes] uint8 → [groups, numbers]
    needs_scale: bool = False  # whether each row is to be divided by its scale

    def size(self, count: int) -> int:
        """Return the bytes of `count` numbers, which are whole groups."""
        return count // self.group * self.group_bytes


def _plain(name: str, dtype: torch.dtype, needs_scale: bool = False) -> NumberFormat:
    def decode(groups: torch.Tensor) -> torch.Tensor:
        return groups.view(dtype)

    return NumberFormat(name, 1, dtype.itemsize, decode, needs_scale)


def _q8_0(blocks: torch.Tensor) -> torch.Tensor:
    return blocks[:, SCALE_BYTES:].view(torch.int8) * _scales(blocks)


def _q5_0(blocks: torch.Tensor) -> torch.Tensor:
    """Join four low bits of each number, two of them in a byte, with its fifth bit."""
    high, low = blocks[:, SCALE_BYTES:].split([HIGH_BITS_BYTES, BLOCK // 2], dim=1)
    nibbles = torch.cat([low & 0x0F, low >> 4], dim=1)  # numbers 0 to 15, then 16 to 31
    bits = (high[:, :, None] >> torch.arange(8, dtype=torch.uint8)) & 1  # [blocks, bytes, bits]
    values = nibbles + bits.flatten(1) * MIDDLE  # [blocks, 32], 0 to 31
    return (values.to(torch.int8) - MIDDLE) * _scales(blocks)


def _scales(blocks: torch.Tensor) -> torch.Tensor:
    """Return the scale of each block, [blocks, 1]."""
    return blocks[:, :SCALE_BYTES].contiguous().view(torch.float16).float()


FLOAT32 = _plain("float32", torch.float32)
FLOAT16 = _plain("float16", torch.float16)
BFLOAT16 = _plain("bfloat16", torch.bfloat16)
INT8 = _plain("int8", torch.int8, needs_scale=True)
INT16 = _plain("int16", torch.int16, needs_scale=True)
INT32 = _plain("int32", torch.int32)
Q8_0 = NumberFormat("q8_0", BLOCK, SCALE_BYTES + BLOCK, _q8_0)
Q5_0 = NumberFormat("q5_0", BLOCK, SCALE_BYTES + HIGH_BITS_BYTES + BLOCK // 2, _q5_0)
