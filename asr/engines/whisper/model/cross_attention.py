"""What the decoder hears of the windows in flight, kept in one of two forms.

`KeysAndValues` of every layer are the faster. `Whole` keeps the encoder's output alone, of which
every layer's keys and values are made: 64 times less for large-v3. Nothing is projected then, the
queries are: q (W x) = (q W) x, and a sum of values is the value of the sum. Each step reads as much
memory as with keys and values, and the weights of their projections besides.

Shapes: n rows, L queries of each, T encoder frames, D width, H heads, S head size (H S = D).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812

from asr.engines.whisper.model.weights import DecoderLayer, DecoderWeights, Weights, linear


class CrossAttention(Protocol):
    """Cross-attention to the windows in the slots."""

    @property
    def kept(self) -> torch.Tensor: ...

    def of(self, slot: int) -> torch.Tensor:
        """A view of all that is kept of the slot's window."""

    def hear(self, start: int, encoded: torch.Tensor) -> None:
        """Keep what windows sound like, of encoder output [n, T, D], from slot `start` on."""

    def attend(self, layer: int, query: torch.Tensor, rows: slice) -> torch.Tensor:
        """A layer's queries [n, H, L, S] over the windows in the slots `rows` → [n, L, D]."""

    def keys(self, layer: int, head: int, slot: int, frames: int) -> torch.Tensor:
        """What the queries of one head are compared with, [frames, S]."""


@dataclass(frozen=True)
class KeysAndValues:
    decoder: DecoderWeights
    kept: torch.Tensor  # [layers, 2, slots, H, T, S]

    @classmethod
    def allocate(cls, weights: Weights, count: int) -> KeysAndValues:
        """Room for `count` windows, zeroed."""
        decoder = weights.decoder
        frames, width = weights.encoder.positions.shape
        shape = (len(decoder.layers), 2, count, decoder.heads, frames, width // decoder.heads)
        return cls(decoder, torch.zeros(shape, device=weights.device, dtype=weights.dtype))

    def of(self, slot: int) -> torch.Tensor:
        return self.kept[:, :, slot]

    def hear(self, start: int, encoded: torch.Tensor) -> None:
        rows = slice(start, start + len(encoded))
        for layer, kept in zip(self.decoder.layers, self.kept, strict=True):
            made = _key_value(layer, encoded, self.decoder.heads)
            for part, place in zip(made, kept, strict=True):
                place[rows] = part

    def attend(self, layer: int, query: torch.Tensor, rows: slice) -> torch.Tensor:
        keys, values = self.kept[layer]
        return attend(query, keys[rows], values[rows])

    def keys(self, layer: int, head: int, slot: int, frames: int) -> torch.Tensor:
        return self.kept[layer, 0, slot, head, :frames]


@dataclass(frozen=True)
class EncoderOutput:
    """For weights that are not packed: each head's part of them is used by itself."""

    decoder: DecoderWeights
    kept: torch.Tensor  # [slots, T, D]

    @classmethod
    def allocate(cls, weights: Weights, count: int) -> EncoderOutput:
        """Room for `count` windows, zeroed."""
        shape = (count, *weights.encoder.positions.shape)
        kept = torch.zeros(shape, device=weights.device, dtype=weights.dtype)
        return cls(weights.decoder, kept)

    def of(self, slot: int) -> torch.Tensor:
        return self.kept[slot]

    def hear(self, start: int, encoded: torch.Tensor) -> None:
        self.kept[start : start + len(encoded)] = encoded

    def attend(self, layer: int, query: torch.Tensor, rows: slice) -> torch.Tensor:
        encoded = self.kept[rows]
        count, heads, length, size = query.shape
        if length > size:  # as much work as projecting the windows, and less memory
            return attend(query, *_key_value(self.decoder.layers[layer], encoded, heads))
        weight, bias = self._projection(layer)
        key, value = weight.unflatten(0, (2, heads, size))  # [H, S, D] each
        projected = query.transpose(0, 1).flatten(1, 2) @ key  # [H, n L, D]
        asked = projected.unflatten(1, (count, length)).transpose(0, 1).flatten(1, 2)  # [n, H L, D]
        sums = (asked @ encoded.mT).softmax(dim=-1) @ encoded  # [n, H L, D]
        sums = sums.unflatten(1, (heads, length)).transpose(0, 1).flatten(1, 2)  # [H, n L, D]
        heard = (sums @ value.mT).unflatten(1, (count, length))  # [H, n, L, S]
        found = heard.permute(1, 2, 0, 3).flatten(2)  # [n, L, D]
        return found if bias is None else found + bias[heads * size :]  # the key's is zero

    def keys(self, layer: int, head: int, slot: int, frames: int) -> torch.Tensor:
        weight, _ = self._projection(layer)
        key = weight.unflatten(0, (2, self.decoder.heads, -1))[0, head]  # [S, D]
        return self.kept[slot, :frames] @ key.T

    def _projection(self, layer: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Weight [2 D, D] and bias [2 D]: key above value."""
        both = self.decoder.layers[layer].cross_key_value
        assert not both.is_packed
        return both.weight, both.bias


def attend(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Queries [n, H, L, S], scaled, over [n, H, T, S] → [n, L, D].

    On a CPU plain products for a single one: bfloat16's fused kernel takes 6 to 11 times as long
    there. The keys are the first factor, which oneDNN reads as they lie: a second one it copies
    and reorders.
    """
    if query.device.type == "cpu" and query.shape[2] == 1:
        scores = (keys @ query.transpose(2, 3)).transpose(2, 3)  # [n, H, 1, T]
        weights = (scores if mask is None else scores + mask).softmax(dim=-1)
        return merged(weights @ values)
    found = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=1.0)
    return merged(found)


def by_head(x: torch.Tensor, heads: int) -> torch.Tensor:
    """[n, L, D] → [n, H, L, S]."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def merged(x: torch.Tensor) -> torch.Tensor:
    """[n, H, L, S] → [n, L, D]."""
    return x.transpose(1, 2).flatten(2)


def _key_value(
    layer: DecoderLayer, encoded: torch.Tensor, heads: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values of a layer, [n, H, T, S] each."""
    key, value = linear(encoded, layer.cross_key_value).chunk(2, dim=-1)  # [n, T, D] each
    return by_head(key, heads), by_head(value, heads)
