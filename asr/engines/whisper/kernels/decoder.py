"""A decoder's step by the kernels."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import NamedTuple

import torch

from asr.engines.whisper.kernels import library
from asr.engines.whisper.kernels.library import CHUNK, NUMBER, POINTER, CMatrix, CNorm
from asr.engines.whisper.kernels.matrix import LayerKernel


class CDecoderLayer(ctypes.Structure):
    _fields_ = [
        ("attention_norm", CNorm),
        ("query_key_value", CMatrix),
        ("attention_out", CMatrix),
        ("cross_norm", CNorm),
        ("cross_query", CMatrix),
        ("cross_out", CMatrix),
        ("feed_norm", CNorm),
        ("widen", CMatrix),
        ("narrow", CMatrix),
    ]


class CStep(ctypes.Structure):
    _fields_ = [
        *((name, NUMBER) for name in ("layers", "count", "heads")),
        *((name, POINTER) for name in ("places", "x", "projected", "attended", "query", "fed")),
        *((name, POINTER) for name in ("panels", "own")),
        *((name, NUMBER) for name in ("slots", "positions")),
        ("frames", POINTER),
        ("head_bytes", NUMBER),
        *((name, POINTER) for name in ("blocks", "biases")),
        ("biased", NUMBER),
    ]


class WindowTables(NamedTuple):
    """The keys and values of the windows that rows attend to, in 8 bits."""

    tables: torch.Tensor  # uint8 [slots, layers, 2, H, R, 72]
    blocks: torch.Tensor  # int64 [n]: blocks of 64 frames of each row's window
    biases: torch.Tensor  # float32 [n, the most frames]: for the scores of these frames


@dataclass(frozen=True)
class DecoderKernel(LayerKernel):
    """Runs all layers of a decoder's step in one call."""

    kind = CDecoderLayer

    def takes(self, count: int) -> bool:
        """Return whether a step may have so many rows."""
        return count <= CHUNK

    def run(
        self, x: torch.Tensor, positions: torch.Tensor, own: torch.Tensor, windows: WindowTables
    ) -> torch.Tensor:
        """Run the layers on float32 `x`, [n, D], in its place; write the tokens' keys and values.

        Args:
            positions: int64 [n], of the rows' tokens.
            own: float32 [layers, 2, slots, H, positions, 64], the tokens' keys and values.

        Returns:
            [layers, n, D]: each layer's queries of cross-attention.
        """
        kernels = library.library()
        assert kernels is not None
        count, width = x.shape
        assert self.takes(count)
        assert x.dtype is own.dtype is torch.float32
        assert all(each.is_contiguous() for each in (x, own, windows.tables))
        positions = positions.contiguous()
        feed_width = self.layers[0].narrow.inputs
        projected, attended = torch.empty(count, 3 * width), torch.empty(count, width)
        query, fed = torch.empty(len(self.layers), count, width), torch.empty(count, feed_width)
        panels = torch.empty(torch.get_num_threads() * fed.numel(), dtype=torch.uint8)
        tables, blocks, biases = windows
        buffers = positions, x, projected, attended, query, fed, panels, own
        step = CStep(
            *(len(self.layers), count, self.heads),
            *(tensor.data_ptr() for tensor in buffers),
            *(own.shape[2], own.shape[4]),
            tables.data_ptr(),
            tables.shape[4] * tables.shape[5],
            *(blocks.data_ptr(), biases.data_ptr()),
            biases.shape[1],
        )
        kernels.decode(self.layers, ctypes.byref(step))
        return query
