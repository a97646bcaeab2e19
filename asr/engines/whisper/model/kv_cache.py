"""The KV cache: attention keys and values, allocated once, with a slot for each sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from asr.engines.whisper.model import byte_rows
from asr.engines.whisper.model.alignment import AlignmentInputs
from asr.engines.whisper.model.cross_attention import (
    CrossAttention,
    EncoderOutput,
    KeysAndValues,
)
from asr.engines.whisper.model.int8_cross_attention import QuantizedKeysAndValues
from asr.engines.whisper.model.weights import Packing, Weights
from asr.engines.zeros import ZeroedPages, zeros


@dataclass(frozen=True)
class KVCache:
    """Caches of all layers; the sequences are always in the first slots, without a gap."""

    cross: CrossAttention  # written once for a window
    own_pages: ZeroedPages  # of `own`
    places: torch.Tensor  # [slots, 2, heads]: where position 0 lies in a flattened layer of `own`
    queries: torch.Tensor  # [slots, positions, aligning heads, size]: for word times

    @classmethod
    def allocate(cls, weights: Weights, count: int, keeps_encoder_output: bool = False) -> KVCache:
        """Allocate `count` slots, zeroed, because an unused slot may be read.

        Args:
            keeps_encoder_output: store it, for less memory, not keys and values of every layer.
        """
        decoder = weights.decoder
        positions, width = decoder.positions.shape
        layers, heads = len(decoder.layers), decoder.heads
        size = width // heads
        like = weights.device, weights.dtype
        kinds = torch.arange(2, device=weights.device)[:, None] * count  # [2, 1]
        rows = torch.arange(count, device=weights.device)[:, None, None]  # [slots, 1, 1]
        each = torch.arange(heads, device=weights.device)  # [heads]
        return cls(
            cross=_cross_form(weights, keeps_encoder_output).allocate(weights, count),
            own_pages=ZeroedPages.allocate((layers, 2, count, heads, positions, size), *like),
            places=((kinds + rows) * heads + each) * positions,
            queries=zeros((count, positions, len(decoder.aligning), size), *like),
        )

    @property
    def own(self) -> torch.Tensor:
        """Keys and values of self-attention, [layers, 2, slots, heads, positions, size]."""
        return self.own_pages.tensor

    @property
    def count(self) -> int:
        return int(self.own.shape[2])

    @property
    def positions(self) -> int:
        return int(self.own.shape[4])

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of a slot into another one."""
        self.cross.move(source, target)
        self.own[:, :, target, :, :length].copy_(self.own[:, :, source, :, :length])
        self.queries[target, :length].copy_(self.queries[source, :length])

    def alignment_inputs(
        self, slot: int, positions: range, frames: int, heads: Sequence[tuple[int, int]]
    ) -> AlignmentInputs:
        """Return queries at `positions` and keys of the alignment heads, (layer, number)."""
        keys = [self.cross.keys(layer, head, slot, frames) for layer, head in heads]
        queries = self.queries[slot, positions.start : positions.stop]
        return AlignmentInputs(queries.transpose(0, 1).clone(), torch.stack(keys))


def slot_bytes(weights: Weights, keeps_encoder_output: bool = False) -> int:
    """Return how many bytes one slot takes."""
    decoder = weights.decoder
    positions, width = decoder.positions.shape
    own = len(decoder.layers) * 2 * positions * width
    queries = len(decoder.aligning) * positions * width // decoder.heads
    cross = _cross_form(weights, keeps_encoder_output).slot_bytes(weights)
    return cross + int((own + queries) * weights.dtype.itemsize)


def _cross_form(
    weights: Weights, keeps_encoder_output: bool
) -> type[EncoderOutput] | type[KeysAndValues] | type[QuantizedKeysAndValues]:
    """Return in which form the windows are stored."""
    if keeps_encoder_output:
        return EncoderOutput
    is_quantized = weights.packing is Packing.INT8 and byte_rows.is_usable()
    return QuantizedKeysAndValues if is_quantized else KeysAndValues
