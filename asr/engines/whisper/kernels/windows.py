"""Keys and values of a window for all layers of a decoder, by the kernels."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch

from asr.engines.whisper.kernels import library
from asr.engines.whisper.kernels.library import NUMBER, POINTER, CMatrix
from asr.engines.whisper.kernels.matrix import HEAD_SIZE, LayerKernel


class CProjection(ctypes.Structure):
    _fields_ = [("cross_key_value", CMatrix)]


class CWindow(ctypes.Structure):
    _fields_ = [
        *((name, NUMBER) for name in ("layers", "count", "heads")),
        *((name, POINTER) for name in ("x", "panels", "both", "tables")),
        ("head_bytes", NUMBER),
    ]


@dataclass(frozen=True)
class WindowKernel(LayerKernel):
    """Projects a window's frames to the keys and values of all layers, and packs them in 8 bits."""

    kind = CProjection

    def store(self, encoded: torch.Tensor, tables: torch.Tensor) -> None:
        """Store what follows from the encoder's output.

        Args:
            encoded: float32 [T, D].
            tables: uint8 [layers, 2, H, R, 72]: keys, turned, and values; whole blocks of 64 rows
                are written.
        """
        kernels = library.library()
        assert kernels is not None
        assert tables.is_contiguous()
        encoded = encoded.contiguous()
        frames, width = encoded.shape
        rows = torch.get_num_threads() * HEAD_SIZE
        panels, both = torch.empty(rows * width, dtype=torch.uint8), torch.empty(rows * 2 * width)
        pointers = [tensor.data_ptr() for tensor in (encoded, panels, both, tables)]
        head_bytes = tables.shape[3] * tables.shape[4]
        window = CWindow(len(self.layers), frames, self.heads, *pointers, head_bytes)
        kernels.store_window(self.layers, ctypes.byref(window))
