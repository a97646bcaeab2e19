"""The encoder's layers by the kernels."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812

from asr.engines.whisper.kernels import library
from asr.engines.whisper.kernels.library import CHUNK, NUMBER, POINTER, CMatrix, CNorm
from asr.engines.whisper.kernels.matrix import LayerKernel

BLOCK = 32  # As in encoder.h: so many frames are scored at once.
MOST_FRAMES = 1504


class CEncoderLayer(ctypes.Structure):
    _fields_ = [
        ("attention_norm", CNorm),
        ("query_key_value", CMatrix),
        ("attention_out", CMatrix),
        ("feed_norm", CNorm),
        ("widen", CMatrix),
        ("narrow", CMatrix),
    ]


class CEncoding(ctypes.Structure):
    _fields_ = [
        *((name, NUMBER) for name in ("layers", "count", "heads")),
        *((name, POINTER) for name in ("x", "projected", "attended", "keys", "values")),
        *((name, POINTER) for name in ("biases", "panels", "fed")),
    ]


@dataclass(frozen=True)
class EncoderKernel(LayerKernel):
    """Runs all layers of an encoder in one call."""

    kind = CEncoderLayer

    def takes(self, frames: int) -> bool:
        """Return whether a window may have so many frames."""
        return frames <= MOST_FRAMES

    def run(self, x: torch.Tensor, bias: torch.Tensor | None) -> None:
        """Run the layers on float32 `x`, [n, T, D], in its place.

        Args:
            bias: [T], added to the scores of each frame.
        """
        kernels = library.library()
        assert kernels is not None
        assert x.is_contiguous()
        assert x.dtype is torch.float32
        _, frames, width = x.shape
        assert self.takes(frames)
        whole = -(-frames // BLOCK) * BLOCK
        biases = torch.zeros(frames) if bias is None else bias
        biases = F.pad(biases, (0, whole - frames), value=-torch.inf)
        feed_width = self.layers[0].narrow.inputs
        chunks = torch.get_num_threads() * CHUNK * feed_width
        projected = torch.empty(frames, 3 * width, dtype=torch.bfloat16)
        attended, fed = torch.empty(frames, width), torch.empty(chunks)
        keys, values = (torch.empty(whole, width, dtype=torch.bfloat16) for _ in range(2))
        panels = torch.empty(chunks, dtype=torch.uint8)
        tensors = projected, attended, keys, values, biases, panels, fed
        for window in x:
            pointers = [tensor.data_ptr() for tensor in (window, *tensors)]
            encoding = CEncoding(len(self.layers), frames, self.heads, *pointers)
            kernels.encode(self.layers, ctypes.byref(encoding))
