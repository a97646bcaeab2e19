"""Matrix products in int8 on a CPU: weights by output channel, activations by row on the fly.

A row's scale depends on nothing but the row, and sums of int8 products are exact, so that a row's
result never depends on the rows beside it.

Where the CPU has what they want, kernels of our own do the work (`kernels/`), else two operators of
torch; neither of these is in a public module, so each is tried before it is used. oneDNN's is the
faster one for an encoder's 1500 rows, fbgemm's for a decoder's few: on a Zen 3 core 1 row of 768 x
3072 takes 0.75 ms with the one and 0.16 ms with the other (float32: 0.63 ms), and 1500 rows take 52
ms with the one and 77 ms with the other (float32: 104 ms).
"""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import torch

from asr.engines.whisper.kernels import library
from asr.engines.whisper.kernels.matrix import LANES, KernelMatrix

log = logging.getLogger(__name__)

WEIGHT_LIMIT = 127  # Weights are whole numbers of at most this size.
# So many rows of a matrix are quantized at once: what is between stays in the cache, and little
# lies in memory as float too.
ROWS_AT_ONCE = 256
# The feed-forward layers of an encoder take so many rows at once for each thread: what is between
# their two products stays in the cache then.
FED_ROWS = 256
FEW_ROWS = 64  # Of so many rows the sizes of all numbers are in the cache: fewer calls then count.
SMALLEST = 1e-30  # A row whose numbers are all smaller counts as zeros.


@dataclass(frozen=True)
class Levels:
    """The whole numbers from 0 to 255 that stand for the activations of a row."""

    zero: int  # stands for 0
    most: int  # so much more stands for the row's peak
    least: int  # so much less stands for the lowest number that there may be


# One of each is used. A CPU without VNNI sums the products of two pairs in 16 bits: it cuts no sum
# off with the second ones (2 * 127 * 127 < 2**15).
SYMMETRIC = Levels(128, 127, 127), Levels(64, 63, 63)
# GELU gives nothing below -0.17: most whole numbers are for what is above 0.
AFTER_GELU = Levels(24, 231, 24), Levels(12, 115, 12)


class OperatorMatrix(Protocol):
    """A matrix [out, in] in int8, packed for an operator of torch."""

    @property
    def levels(self) -> Levels:
        """The whole numbers of its activations."""

    def multiply(self, rows: torch.Tensor, peaks: torch.Tensor) -> torch.Tensor:
        """Multiply float32 rows [n, in], each divided by its peak [n, 1] → [n, out]."""


@dataclass(frozen=True)
class Int8Rows:
    """A matrix in int8 that is not packed yet."""

    numbers: torch.Tensor  # int8 [out, in], none beyond 127 or -127
    scales: torch.Tensor  # float32 [out]: a row is its numbers times its scale

    @classmethod
    def of(cls, weight: torch.Tensor, factors: torch.Tensor | None = None) -> Int8Rows:
        """Quantize a matrix [out, in] of any float type, each row by its largest number.

        Args:
            factors: float32 [in], of its columns.
        """
        numbers = torch.empty(weight.shape, dtype=torch.int8)
        scales = torch.empty(len(weight))
        pieces = zip(*(each.split(ROWS_AT_ONCE) for each in (weight, numbers, scales)), strict=True)
        for piece, its_numbers, its_scales in pieces:
            floats = piece.float() if factors is None else piece * factors
            peaks = floats.abs().amax(dim=1).clamp_(min=SMALLEST)
            torch.div(peaks, WEIGHT_LIMIT, out=its_scales)
            its_numbers.copy_((floats / its_scales[:, None]).round_())
        return cls(numbers, scales)

    @classmethod
    def stacked(cls, parts: Sequence[Int8Rows]) -> Int8Rows:
        """Stack the rows of several matrices."""
        numbers = torch.cat([part.numbers for part in parts])
        return cls(numbers, torch.cat([part.scales for part in parts]))

    def scaled(self, factor: float) -> Int8Rows:
        """Return the matrix times a factor, whose numbers are the same."""
        return Int8Rows(self.numbers, self.scales * factor)


Int8Matrix: TypeAlias = OperatorMatrix | KernelMatrix
Pack = Callable[[Int8Rows, Levels], Int8Matrix]


@dataclass(frozen=True)
class OneDnnMatrix:
    """A matrix for oneDNN's operator, which is fast with many rows."""

    packed: torch.Tensor  # in oneDNN's blocked layout
    scales: torch.Tensor  # [out], float32
    levels: Levels
    zeros: torch.Tensor  # the number that stands for 0 in the weights: 0

    @classmethod
    def pack(cls, rows: Int8Rows, levels: Levels) -> OneDnnMatrix:
        packed = torch.ops.onednn.qlinear_prepack(rows.numbers.contiguous(), None)
        return cls(packed, rows.scales, levels, torch.zeros(1, dtype=torch.int64))

    def multiply(
        self, rows: torch.Tensor, peaks: torch.Tensor, dtype: torch.dtype = torch.float32
    ) -> torch.Tensor:
        steps = rows * (self.levels.most / peaks)
        if self.levels.zero != 128:
            steps += self.levels.zero - 128
        # torch converts to int8, from -128 on, six times as fast as to uint8.
        numbers = steps.round_().to(torch.int8).add_(-128).view(torch.uint8)
        product: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            numbers, 1 / self.levels.most, self.levels.zero, self.packed, self.scales, self.zeros,
            None, 1.0, 0, dtype, "none", [], "",
        )  # fmt: skip
        return product


@dataclass(frozen=True)
class FbgemmMatrix:
    """A matrix for fbgemm's operator, which is fast with few rows."""

    packed: Any
    levels: Levels

    @classmethod
    def pack(cls, rows: Int8Rows, levels: Levels) -> FbgemmMatrix:
        numbers, scales = rows.numbers, rows.scales
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        engines = torch.backends.quantized
        before = engines.engine
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tensors of this type will go, one day
            tensor = torch._make_per_channel_quantized_tensor(numbers, scales.double(), zeros, 0)
            try:
                engines.engine = "fbgemm"
                return cls(torch.ops.quantized.linear_prepack(tensor, None), levels)
            finally:
                engines.engine = before

    def multiply(self, rows: torch.Tensor, peaks: torch.Tensor) -> torch.Tensor:
        operator = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32
        scale, zero = 1 / self.levels.most, self.levels.zero
        product: torch.Tensor = operator(rows / peaks, scale, zero, self.packed)
        return product


def is_usable() -> bool:
    """Return whether products in int8 are right here."""
    return _levels(OneDnnMatrix.pack, SYMMETRIC) is not None


def pack(rows: Int8Rows, has_few_rows: bool = False, follows_gelu: bool = False) -> Int8Matrix:
    """Pack a matrix [out, in].

    Args:
        has_few_rows: it will mostly be multiplied with the rows of a decoder's step.
        follows_gelu: it will be multiplied with numbers that GELU gave.
    """
    choices = AFTER_GELU if follows_gelu else SYMMETRIC
    has_kernel = has_few_rows or library.encodes()
    has_kernel = has_kernel and rows.numbers.shape[1] % LANES == 0
    if has_kernel and (used := _levels(_pack_for_kernel, choices)) is not None:
        return _pack_for_kernel(rows, used)
    if has_few_rows and (used := _levels(FbgemmMatrix.pack, choices)) is not None:
        return FbgemmMatrix.pack(rows, used)
    return OneDnnMatrix.pack(rows, _levels(OneDnnMatrix.pack, choices) or choices[-1])


def _pack_for_kernel(rows: Int8Rows, levels: Levels) -> KernelMatrix:
    numbers = levels.zero, levels.most, levels.least
    return KernelMatrix.pack(rows.numbers, rows.scales, numbers)


def rows_at_once() -> int:
    """Return how many rows the feed-forward layers take at once; no row depends on it."""
    return FED_ROWS * int(torch.get_num_threads())


def linear(
    x: torch.Tensor,
    matrix: Int8Matrix,
    bias: torch.Tensor | None,
    gelu: bool = False,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Multiply [..., in] → [..., out], with GELU if asked.

    Args:
        dtype: of the result; None: that of `x`.
    """
    dtype = dtype or x.dtype
    rows = (x if x.ndim == 2 else x.flatten(0, -2)).float()
    if isinstance(matrix, KernelMatrix):
        return matrix.multiply(rows, bias, gelu).view(*x.shape[:-1], -1).to(dtype)
    peaks = _peaks(rows, matrix.levels)
    if dtype is torch.bfloat16 and isinstance(matrix, OneDnnMatrix) and not gelu:
        y = _in_bfloat16(rows, peaks, matrix, bias)
    else:
        y = matrix.multiply(rows, peaks)  # [n, out]; the rest is done in its memory
        y = y.mul_(peaks) if bias is None else torch.addcmul(bias, y, peaks, out=y)
        if gelu:
            torch.ops.aten.gelu_(y)
    # `unflatten` is written in Python: it takes as long as a small product.
    return (y if x.ndim == 2 else y.view(*x.shape[:-1], -1)).to(dtype)


def _in_bfloat16(
    rows: torch.Tensor, peaks: torch.Tensor, matrix: OneDnnMatrix, bias: torch.Tensor | None
) -> torch.Tensor:
    """Multiply float32 rows [n, in] → bfloat16 [n, out], which takes half of float32's memory.

    1500 rows of 768 x 2304 take 0.81 of the time of a float32 result and its conversion.
    """
    # A peak must not be less than the row's largest number, and is multiplied with in bfloat16.
    half = (peaks * (1 + torch.finfo(torch.bfloat16).eps)).bfloat16()
    y = matrix.multiply(rows, half.float(), torch.bfloat16)
    return y.mul_(half) if bias is None else torch.addcmul(bias.bfloat16(), y, half, out=y)


def _peaks(rows: torch.Tensor, levels: Levels) -> torch.Tensor:
    """Return what the highest level of each row stands for, [n, in] → [n, 1]."""
    if len(rows) <= FEW_ROWS and levels.most == levels.least:
        return rows.abs().amax(dim=1, keepdim=True).clamp_(min=SMALLEST)
    least = rows.amin(dim=1, keepdim=True).mul_(-levels.most / levels.least)
    return torch.maximum(rows.amax(dim=1, keepdim=True), least).clamp_(min=SMALLEST)


@functools.cache
def _levels(pack: Pack, choices: Sequence[Levels]) -> Levels | None:
    """Return the numbers that activations may be with an operator; None: it is missing or wrong."""
    for each in choices:
        try:
            if _is_exact(pack, each):
                return each
        except (AttributeError, RuntimeError) as error:
            log.info("products in int8 by %s are not available: %s", pack.__qualname__, error)
            return None
    return None


def _is_exact(pack: Pack, levels: Levels) -> bool:
    """Return whether an operator sums the largest numbers exactly, few rows and many."""
    numbers = torch.full((64, 256), WEIGHT_LIMIT, dtype=torch.int8)
    numbers[::2, ::3] *= -1
    matrix = pack(Int8Rows(numbers, torch.ones(64)), levels)
    for count in (1, 16, 300):
        rows = torch.ones(count, 256)
        rows[:, ::5] = -levels.least / levels.most
        found = linear(rows, matrix, None)
        if not torch.allclose(found, rows @ numbers.T.float(), rtol=1e-4):
            return False
    return True
