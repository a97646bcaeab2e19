"""A matrix in int8, packed for the kernels, and its products."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F  # noqa: N812

from asr.engines.whisper.kernels import library

TILE = 16  # outputs whose weights lie together
LANES = 16  # The inputs are a multiple of so many.
HEAD_SIZE = 64  # numbers of a head, as in all of Whisper's published models


@dataclass(frozen=True)
class KernelMatrix:
    """A matrix [out, in] in int8, whose products depend on no rows beside and on no threads."""

    weight: torch.Tensor  # int8 [tiles, in / 4, 16, 4]
    scales: torch.Tensor  # float32 [out]
    offsets: torch.Tensor  # int32 [out]: minus the sum of an output's weights times `zero`
    inputs: int
    levels: tuple[int, int, int]  # which stands for 0, and how many are above it and below it

    @classmethod
    def pack(
        cls, numbers: torch.Tensor, scales: torch.Tensor, levels: tuple[int, int, int]
    ) -> KernelMatrix:
        """Pack int8 numbers [out, in], which are to be multiplied with scales [out].

        Raises:
            RuntimeError: there are no kernels here, or not for so many inputs.
        """
        count, inputs = numbers.shape
        if inputs % LANES or not library.multiplies():
            raise RuntimeError(f"no kernel multiplies rows of {inputs} numbers here")
        tiles = F.pad(numbers, (0, 0, 0, -count % TILE)).view(-1, TILE, inputs // 4, 4)
        offsets = numbers.sum(dim=1, dtype=torch.int32) * -levels[0]
        weight = tiles.transpose(1, 2).contiguous()
        return cls(weight, scales.float().contiguous(), offsets, inputs, levels)

    def described(self, bias: torch.Tensor | None) -> library.CMatrix:
        """Describe the matrix to C, with a bias [out], which must outlive the description."""
        tensors = self.weight, self.scales, self.offsets
        pointers = [tensor.data_ptr() for tensor in tensors]
        at_bias = None if bias is None else bias.data_ptr()
        return library.CMatrix(*pointers, at_bias, len(self.scales), self.inputs, *self.levels)

    def multiply(
        self, rows: torch.Tensor, bias: torch.Tensor | None, gelu: bool = False
    ) -> torch.Tensor:
        """Multiply float32 rows [n, in] → [n, out], with GELU if asked."""
        kernels = library.library()
        assert kernels is not None
        rows = rows.contiguous()
        y = torch.empty(len(rows), len(self.scales))
        panels = torch.empty(
            torch.get_num_threads() * library.CHUNK * self.inputs, dtype=torch.uint8
        )
        kernels.multiply(
            ctypes.byref(self.described(bias)),
            ctypes.c_void_p(rows.data_ptr()),
            ctypes.c_int64(len(rows)),
            ctypes.c_int64(gelu),
            ctypes.c_void_p(y.data_ptr()),
            ctypes.c_void_p(panels.data_ptr()),
        )
        return y


@dataclass(frozen=True)
class LayerKernel:
    """Computes all layers of a model's part in one call."""

    kind: ClassVar[type[ctypes.Structure]]  # has a layer's norms and matrices, by their names
    layers: ctypes.Array[Any]  # of `kind`
    weights: Sequence[Any]  # the layers' own tensors, which C reads
    heads: int

    @classmethod
    def of(cls, layers: Sequence[Any], heads: int) -> Self | None:
        """Describe layers to C; None: their packing, head size or widths are not for a kernel."""
        names = [name for name, part, *_ in cls.kind._fields_ if part is library.CMatrix]
        matrices = [getattr(layer, name).weight for layer in layers for name in names]
        if not matrices or not all(isinstance(matrix, KernelMatrix) for matrix in matrices):
            return None
        inputs = [matrix.inputs for matrix in matrices]
        # The kernels' memory is as wide as the rows of the last matrix.
        if inputs[0] != heads * HEAD_SIZE or inputs[-1] != max(inputs):
            return None
        described = [_described(cls.kind, layer) for layer in layers]
        return cls((cls.kind * len(layers))(*described), layers, heads)


def _described(kind: type[ctypes.Structure], layer: Any) -> ctypes.Structure:
    parts = []
    for name, part_kind, *_ in kind._fields_:
        part = getattr(layer, name)
        if part_kind is library.CMatrix:
            parts.append(part.weight.described(part.bias))
        else:
            weight, bias = part.weight.data_ptr(), part.bias.data_ptr()
            parts.append(library.CNorm(weight, bias, part.epsilon))
    return kind(*parts)
