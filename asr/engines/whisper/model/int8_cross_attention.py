"""Cross-attention to keys and values that are stored in 8 bits, on a CPU.

A decoder's step is bound by the memory that it reads, and of that the windows' keys and values are
the most: 110 MB for each row and step of a small model in float32, 31 MB here. torch has no
product of float queries and 8-bit keys; it has fbgemm's sum of table rows, each of 8-bit numbers
with a scale and an offset of its own, times weights. Values are summed so as they are, a row for
each frame. Keys are stored turned: a row has one number of the head for some neighbouring frames,
and the sum of a head's rows, times the query's numbers, is the scores of these frames.

Measured on a Zen 3 core, 16 rows of a small model: 75 ms a step for 280 ms in float32.
"""

from __future__ import annotations

import functools
import logging
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812

from asr.engines.whisper.model.cross_attention import attend, key_value, zeros
from asr.engines.whisper.model.weights import DecoderWeights, Weights

log = logging.getLogger(__name__)

RANGE_BYTES = 8  # A table row ends with its scale and its offset, float32 each.
# Keys and values of so many heads are packed at once: what is between stays in the cache. All 12
# of a small model at once take three times as long.
HEADS_AT_ONCE = 4
# Up to so many queries of a row attend to 8-bit numbers one after the other; for more the numbers
# are brought back to float.
FEW_QUERIES = 8


@dataclass(frozen=True)
class QuantizedKeysAndValues:
    """Stores every layer's keys and values of the windows in 8 bits."""

    decoder: DecoderWeights
    stored: torch.Tensor  # uint8 [layers, 2, slots, H, R, S + 8]; R: T, rounded up to whole S
    frames: int  # T
    key_rows: torch.Tensor  # int32 [slots, H R]: table rows
    value_rows: torch.Tensor  # int32 [slots, H T]

    @classmethod
    def allocate(cls, weights: Weights, count: int) -> QuantizedKeysAndValues:
        """Allocate room for `count` windows, zeroed."""
        layers, heads, frames, rows, size = _sizes(weights)
        shape = (layers, 2, count, heads, rows, size + RANGE_BYTES)
        key_rows = torch.arange(count * heads * rows, dtype=torch.int32).view(count, heads, rows)
        return cls(
            weights.decoder,
            zeros(shape, weights.device, torch.uint8),
            frames,
            key_rows.flatten(1),
            key_rows[:, :, :frames].flatten(1),
        )

    @staticmethod
    def slot_bytes(weights: Weights) -> int:
        layers, heads, frames, rows, size = _sizes(weights)
        tables = layers * 2 * heads * rows * (size + RANGE_BYTES)
        return int(tables + heads * (rows + frames) * torch.int32.itemsize)

    def of(self, slot: int) -> torch.Tensor:
        return self.stored[:, :, slot]

    def store(self, start: int, encoded: torch.Tensor) -> None:
        slots = slice(start, start + len(encoded))
        for layer, (keys, values) in zip(self.decoder.layers, self.stored, strict=True):
            key, value = key_value(layer, encoded, self.decoder.heads)  # [n, H, T, S] each
            for first in range(0, self.decoder.heads, HEADS_AT_ONCE):
                heads = slice(first, first + HEADS_AT_ONCE)
                keys[slots, heads] = _packed(self._turned(key[:, heads]))
                values[slots, heads, : self.frames] = _packed(value[:, heads])

    def attend(self, layer: int, query: torch.Tensor, rows: slice) -> torch.Tensor:
        length = query.shape[2]
        if length <= FEW_QUERIES:
            each = [self._attend(layer, one, rows) for one in query.float().unbind(2)]
            return torch.stack(each, dim=1).to(query.dtype)
        keys, values = (_unpacked(part[rows]).to(query.dtype) for part in self.stored[layer])
        return attend(query, self._upright(keys), values[:, :, : self.frames])

    def keys(self, layer: int, head: int, slot: int, frames: int) -> torch.Tensor:
        table = self.stored[layer, 0, slot : slot + 1, head : head + 1]  # [1, 1, R, S + 8]
        return self._upright(_unpacked(table))[0, 0, :frames].to(self.decoder.positions.dtype)

    def _attend(self, layer: int, query: torch.Tensor, rows: slice) -> torch.Tensor:
        """Attend from one query of each row, [n, H, S] → [n, D]."""
        count, heads, size = query.shape
        keys, values = self.stored[layer].flatten(1, 3)  # [slots H R, S + 8] each
        parts = self.stored.shape[4] // size
        weights = query[:, :, None].expand(count, heads, parts, size)
        scores = _summed(keys, self.key_rows[rows], size, weights)  # [n H parts, S]
        scores = scores.view(count, heads, -1)[:, :, : self.frames]
        weights = scores.softmax(dim=-1)  # [n, H, T]
        return _summed(values, self.value_rows[rows], self.frames, weights).view(count, -1)

    def _turned(self, key: torch.Tensor) -> torch.Tensor:
        """Turn keys [n, H, T, S] so that rows hold S neighbouring frames → [n, H, R, S]."""
        size = key.shape[3]
        padded = F.pad(key, (0, 0, 0, self.stored.shape[4] - self.frames))  # [n, H, R, S]
        return padded.unflatten(2, (-1, size)).transpose(3, 4).flatten(2, 3)

    def _upright(self, turned: torch.Tensor) -> torch.Tensor:
        """Undo `_turned`."""
        size = turned.shape[3]
        padded = turned.unflatten(2, (-1, size)).transpose(3, 4).flatten(2, 3)
        return padded[:, :, : self.frames]


@functools.cache
def is_usable() -> bool:
    """Return whether the operators exist here and compute what they should."""
    values = torch.linspace(-1, 1, 24 * 16).view(24, 16)
    try:
        found = _summed(_packed(values), torch.arange(24, dtype=torch.int32), 12, values[:, 0])
    except (AttributeError, RuntimeError) as error:
        log.info("sums of 8-bit rows are not available: %s", error)
        return False
    expected = (values * values[:, :1]).view(2, 12, 16).sum(dim=1)
    return bool(torch.allclose(found, expected, atol=0.05))


def _sizes(weights: Weights) -> tuple[int, int, int, int, int]:
    """Return layers, H, T, R and S."""
    decoder = weights.decoder
    frames, width = weights.encoder.positions.shape
    size = width // decoder.heads
    return len(decoder.layers), decoder.heads, frames, math.ceil(frames / size) * size, size


def _packed(numbers: torch.Tensor) -> torch.Tensor:
    """Bring the last dimension into 8 bits, [..., S] → uint8 [..., S + 8]."""
    packed = torch.ops.quantized.embedding_bag_byte_prepack(numbers.float().flatten(0, -2))
    return packed.unflatten(0, numbers.shape[:-1])


def _unpacked(packed: torch.Tensor) -> torch.Tensor:
    """Bring numbers back to float32, uint8 [..., S + 8] → [..., S]."""
    numbers = torch.ops.quantized.embedding_bag_byte_unpack(packed.flatten(0, -2))
    return numbers.unflatten(0, packed.shape[:-1])


def _summed(
    table: torch.Tensor, rows: torch.Tensor, together: int, weights: torch.Tensor
) -> torch.Tensor:
    """Sum rows of a table [rows, S + 8], `together` at a time, times weights → [sums, S]."""
    starts = torch.arange(0, rows.numel() + 1, together, dtype=torch.int32)
    summed: torch.Tensor = torch.ops.quantized.embedding_bag_byte_rowwise_offsets(
        table, rows.flatten(), starts, False, 0, False, weights.flatten().contiguous(), None, True
    )
    return summed
