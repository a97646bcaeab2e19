"""The encoder's layers by the kernels."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

from asr.engines.whisper.kernels import library
from asr.engines.whisper.kernels.library import CHUNK, NUMBER, POINTER, CMatrix, CNorm
from asr.engines.whisper.kernels.matrix import described, fit

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
class EncoderKernel:
    """Runs all layers of an encoder in one call."""

    layers: ctypes.Array[CEncoderLayer]
    weights: Sequence[Any]  # the layers' own tensors, which C reads
    heads: int

    @classmethod
    def of(cls, layers: Sequence[Any], heads: int, frames: int) -> EncoderKernel | None:
        """Prepare layers of norms and matrices; None: no kernel is for them.

        Args:
            frames: of a window, at most.
        """
        if frames > MOST_FRAMES or not fit(CEncoderLayer, layers, heads) or not library.encodes():
            return None
        return cls(described(CEncoderLayer, layers), layers, heads)

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
