"""Cross-attention to the windows in the slots, stored in one of two forms; 8 bits are a third.

`KeysAndValues` of every layer are the faster. `EncoderOutput` alone takes 64 times less memory
for large-v3, because every layer's keys and values are made of it. The windows are not projected
then, the queries are: q (W x) = (q W) x, and a sum of values is the value of the sum. Each step
reads as much memory as with keys and values, and the weights of their projections besides.

Shapes: n rows, L queries of each, T encoder frames, D width, H heads, S head size (H S = D).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F  # noqa: N812

from asr.engines.whisper.model.kept_frames import KeptFrames
from asr.engines.whisper.model.weights import DecoderLayer, DecoderWeights, Weights, linear
from asr.engines.zeros import zeros


class CrossAttention(Protocol):
    """Stores the windows in the slots, and attends to them."""

    takes_kept_frames: ClassVar[bool]  # A window may be given some of its frames alone.

    @property
    def stored(self) -> torch.Tensor: ...

    @staticmethod
    def slot_bytes(weights: Weights) -> int:
        """Return how many bytes a slot takes."""

    def of(self, slot: int) -> torch.Tensor:
        """Return a view of the numbers that are stored of a slot's window."""

    def move(self, source: int, target: int) -> None:
        """Copy the window of a slot into another one."""

    def store(self, start: int, encoded: torch.Tensor, kept: KeptFrames | None = None) -> None:
        """Store the windows of encoder output [n, T, D], from slot `start` on.

        Args:
            kept: which frames the output has of each window, where these may be some: [n, K, D].
        """

    def attend(self, layer: int, query: torch.Tensor, rows: slice) -> torch.Tensor:
        """Attend from a layer's queries [n, H, L, S] to the slots `rows` → [n, L, D]."""

    def keys(self, layer: int, head: int, slot: int, frames: int) -> torch.Tensor:
        """Return the keys of one head, [frames, S]."""


@dataclass(frozen=True)
class KeysAndValues:
    """Stores every layer's keys and values of the windows."""

    takes_kept_frames: ClassVar[bool] = False
    decoder: DecoderWeights
    stored: torch.Tensor  # [layers, 2, slots, H, T, S]

    @classmethod
    def allocate(cls, weights: Weights, count: int) -> KeysAndValues:
        """Allocate room for `count` windows, zeroed."""
        decoder = weights.decoder
        frames, width = weights.encoder.positions.shape
        shape = (len(decoder.layers), 2, count, decoder.heads, frames, width // decoder.heads)
        return cls(decoder, zeros(shape, weights.device, weights.dtype))

    @staticmethod
    def slot_bytes(weights: Weights) -> int:
        numbers = len(weights.decoder.layers) * 2 * weights.encoder.positions.numel()
        return int(numbers * weights.dtype.itemsize)

    def of(self, slot: int) -> torch.Tensor:
        return self.stored[:, :, slot]

    def move(self, source: int, target: int) -> None:
        self.of(target).copy_(self.of(source))

    def store(self, start: int, encoded: torch.Tensor, kept: KeptFrames | None = None) -> None:
        assert kept is None
        rows = slice(start, start + len(encoded))
        for layer, stored in zip(self.decoder.layers, self.stored, strict=True):
            made = key_value(layer, encoded, self.decoder.heads)
            for part, place in zip(made, stored, strict=True):
                place[rows] = part

    def attend(self, layer: int, query: torch.Tensor, rows: slice) -> torch.Tensor:
        keys, values = self.stored[layer]
        return attend(query, keys[rows], values[rows])

    def keys(self, layer: int, head: int, slot: int, frames: int) -> torch.Tensor:
        return self.stored[layer, 0, slot, head, :frames]


@dataclass(frozen=True)
class EncoderOutput:
    """Stores the encoder's output; the weights may not be packed: heads use parts of them."""

    takes_kept_frames: ClassVar[bool] = False
    decoder: DecoderWeights
    stored: torch.Tensor  # [slots, T, D]

    @classmethod
    def allocate(cls, weights: Weights, count: int) -> EncoderOutput:
        """Allocate room for `count` windows, zeroed."""
        shape = (count, *weights.encoder.positions.shape)
        stored = zeros(shape, weights.device, weights.dtype)
        return cls(weights.decoder, stored)

    @staticmethod
    def slot_bytes(weights: Weights) -> int:
        return int(weights.encoder.positions.numel() * weights.dtype.itemsize)

    def of(self, slot: int) -> torch.Tensor:
        return self.stored[slot]

    def move(self, source: int, target: int) -> None:
        self.of(target).copy_(self.of(source))

    def store(self, start: int, encoded: torch.Tensor, kept: KeptFrames | None = None) -> None:
        assert kept is None
        self.stored[start : start + len(encoded)] = encoded

    def attend(self, layer: int, query: torch.Tensor, rows: slice) -> torch.Tensor:
        encoded = self.stored[rows]
        count, heads, length, size = query.shape
        if length > size:  # as much work as projecting the windows, and less memory
            return attend(query, *key_value(self.decoder.layers[layer], encoded, heads))
        weight, bias = self._projection(layer)
        key, value = weight.unflatten(0, (2, heads, size))  # [H, S, D] each
        projected = query.transpose(0, 1).flatten(1, 2) @ key  # [H, n L, D]
        queries = projected.unflatten(1, (count, length)).transpose(0, 1)  # [n, H, L, D]
        queries = queries.flatten(1, 2)  # [n, H L, D]
        sums = (queries @ encoded.mT).softmax(dim=-1) @ encoded  # [n, H L, D]
        sums = sums.unflatten(1, (heads, length)).transpose(0, 1).flatten(1, 2)  # [H, n L, D]
        values = (sums @ value.mT).unflatten(1, (count, length))  # [H, n, L, S]
        attended = values.permute(1, 2, 0, 3).flatten(2)  # [n, L, D]
        return attended if bias is None else attended + bias[heads * size :]  # the key's is zero

    def keys(self, layer: int, head: int, slot: int, frames: int) -> torch.Tensor:
        weight, _ = self._projection(layer)
        key = weight.unflatten(0, (2, self.decoder.heads, -1))[0, head]  # [S, D]
        return self.stored[slot, :frames] @ key.T

    def _projection(self, layer: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Weight [2 D, D] and bias [2 D]: key above value."""
        both = self.decoder.layers[layer].cross_key_value
        assert isinstance(both.weight, torch.Tensor)
        assert not both.is_packed
        return both.weight, both.bias


def attend(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Attend from scaled queries [n, H, L, S] to [n, H, T, S] → [n, L, D].

    On a CPU a single query is computed by plain products, because bfloat16's fused kernel takes
    6 to 11 times as long there. The keys are the first factor, because oneDNN would copy and
    reorder a second one.
    """
    if query.device.type == "cpu" and query.shape[2] == 1:
        scores = (keys @ query.transpose(2, 3)).transpose(2, 3)  # [n, H, 1, T]
        weights = (scores if mask is None else scores + mask).softmax(dim=-1)
        return merged(weights @ values)
    attended = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=1.0)
    return merged(attended)


def by_head(x: torch.Tensor, heads: int) -> torch.Tensor:
    """Split the width into heads: [n, L, D] → [n, H, L, S]."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def merged(x: torch.Tensor) -> torch.Tensor:
    """Merge the heads: [n, H, L, S] → [n, L, D]."""
    return x.transpose(1, 2).flatten(2)


def key_value(
    layer: DecoderLayer, encoded: torch.Tensor, heads: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return keys and values of a layer, [n, H, T, S] each."""
    key, value = linear(encoded, layer.cross_key_value).chunk(2, dim=-1)  # [n, T, D] each
    return by_head(key, heads), by_head(value, heads)
