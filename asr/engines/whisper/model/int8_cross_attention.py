"""Cross-attention to keys and values that are stored in 8 bits, on a CPU.

A decoder's step is bound by the memory that it reads, and of that the windows' keys and values are
the most: 110 MB for each row and step of a small model in float32, 31 MB here. torch has no
product of float queries and 8-bit keys; it has fbgemm's sum of rows of 8-bit numbers times weights.
Values are summed so as they are, a row for each frame. Keys are stored turned: a row has one number
of the head for some neighbouring frames, and the sum of a head's rows, times the query's numbers,
is the scores of these frames.

Measured on a Zen 3 core, 16 rows of a small model: 75 ms a step for 280 ms in float32.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812

from asr.engines.whisper.kernels.decoder import WindowTables
from asr.engines.whisper.model import byte_rows
from asr.engines.whisper.model.cross_attention import attend, key_value
from asr.engines.whisper.model.kept_frames import KeptFrames
from asr.engines.whisper.model.weights import DecoderWeights, Weights
from asr.engines.zeros import zeros

# Keys and values of so many heads are packed at once: what is between stays in the cache. All 12
# of a small model at once take three times as long.
HEADS_AT_ONCE = 4
# Up to so many queries of a row attend to 8-bit numbers one after the other; for more the numbers
# are brought back to float.
FEW_QUERIES = 8


@dataclass(frozen=True)
class QuantizedKeysAndValues:
    """Stores every layer's keys and values of the windows in 8 bits.

    A head's table has whole blocks of S rows. Of a window of which not all frames are kept, the
    first blocks are read alone.
    """

    takes_kept_frames: ClassVar[bool] = True
    decoder: DecoderWeights
    stored: torch.Tensor  # uint8 [slots, layers, 2, H, R, S + 8]; R: T, rounded up to whole S
    kept: list[KeptFrames]  # of the window in each slot

    @classmethod
    def allocate(cls, weights: Weights, count: int) -> QuantizedKeysAndValues:
        """Allocate room for `count` windows, zeroed."""
        layers, heads, frames, rows, size = _sizes(weights)
        shape = (count, layers, 2, heads, rows, size + byte_rows.RANGE_BYTES)
        whole = KeptFrames.of(frames, frames)
        return cls(weights.decoder, zeros(shape, weights.device, torch.uint8), [whole] * count)

    @staticmethod
    def slot_bytes(weights: Weights) -> int:
        layers, heads, _, rows, size = _sizes(weights)
        return layers * 2 * heads * rows * (size + byte_rows.RANGE_BYTES)

    def of(self, slot: int) -> torch.Tensor:
        return self.stored[slot]

    def move(self, source: int, target: int) -> None:
        rows = self._row_count(source)
        self.of(target)[:, :, :, :rows] = self.of(source)[:, :, :, :rows]
        self.kept[target] = self.kept[source]

    def store(self, start: int, encoded: torch.Tensor, kept: KeptFrames | None = None) -> None:
        count, frames, _ = encoded.shape
        slots = slice(start, start + count)
        kept = kept or KeptFrames.of(frames, frames)
        assert frames == kept.count
        self.kept[slots] = [kept] * count
        if self.decoder.window_kernel is not None:
            for window, tables in zip(encoded, self.stored[slots], strict=True):
                self.decoder.window_kernel.store(window, tables)
            return
        rows = self._row_count(start)
        by_layer = self.stored[slots].unbind(1)  # [n, 2, H, R, S + 8]
        for layer, tables in zip(self.decoder.layers, by_layer, strict=True):
            keys, values = tables.unbind(1)
            key, value = key_value(layer, encoded, self.decoder.heads)  # [n, H, K, S] each
            for first in range(0, self.decoder.heads, HEADS_AT_ONCE):
                heads = slice(first, first + HEADS_AT_ONCE)
                keys[:, heads, :rows] = byte_rows.pack(_turned(key[:, heads], rows))
                values[:, heads, :frames] = byte_rows.pack(value[:, heads])
            # What another window left there is read, times zero.
            values[:, :, frames:rows] = 0

    def attend(self, layer: int, query: torch.Tensor, rows: slice) -> torch.Tensor:
        length = query.shape[2]
        if length <= FEW_QUERIES:
            each = [self._attend(layer, one, rows) for one in query.float().unbind(2)]
            return torch.stack(each, dim=1).to(query.dtype)
        slots = range(*rows.indices(len(self.kept)))
        pairs = zip(query.split(1), slots, strict=True)
        return torch.cat([self._attend_many(layer, one, slot) for one, slot in pairs])

    def keys(self, layer: int, head: int, slot: int, frames: int) -> torch.Tensor:
        table = self.stored[slot, layer, 0, None, None, head]  # [1, 1, R, S + 8]
        return _upright(byte_rows.unpack(table))[0, 0, :frames].to(self.decoder.positions.dtype)

    def tables(self, count: int) -> WindowTables:
        """Return what a kernel reads of the windows in the first slots."""
        return WindowTables(
            self.stored, *_read_by_kernel(tuple(self.kept[:count]), self._shape.size)
        )

    def _attend(self, layer: int, query: torch.Tensor, rows: slice) -> torch.Tensor:
        """Attend from one query of each row, [n, H, S] → [n, D]."""
        (count, heads, size), table_rows = query.shape, self._shape.rows
        blocks = self._blocks(rows)
        table = self.stored.flatten(0, 4)  # [slots layers 2 H R, S + 8]
        keys, values = (table[(2 * layer + kind) * heads * table_rows :] for kind in range(2))
        # An eighth of the time that indexing takes: [B, S].
        weights = query.reshape(-1, size).index_select(0, blocks.heads)
        scores = byte_rows.summed(keys, blocks.rows, blocks.starts, weights)  # [B, S]
        scores += blocks.biases
        weights = blocks.softmax(scores)
        return byte_rows.summed(values, blocks.rows, blocks.head_starts, weights).view(count, -1)

    def _attend_many(self, layer: int, query: torch.Tensor, slot: int) -> torch.Tensor:
        """Attend from many queries of one row, [1, H, L, S] → [1, L, D]."""
        kept, rows = self.kept[slot], self._row_count(slot)
        tables = self.stored[slot, layer, :, None, :, :rows]  # [2, 1, H, rows, S + 8]
        # [1, H, rows, S] each
        keys, values = (byte_rows.unpack(table).to(query.dtype) for table in tables)
        mask = kept.log_counts.to(query.dtype)[None]  # [1, K]
        return attend(query, _upright(keys)[:, :, : kept.count], values[:, :, : kept.count], mask)

    def _row_count(self, slot: int) -> int:
        """Return how many rows of a head's table are read: whole blocks."""
        size = self._shape.size
        return math.ceil(self.kept[slot].count / size) * size

    def _blocks(self, rows: slice) -> Blocks:
        return _made_once(self._shape, rows.start or 0, tuple(self.kept[rows]))

    @property
    def _shape(self) -> TableShape:
        _, layers, kinds, heads, rows, length = self.stored.shape
        return TableShape(
            heads, rows, length - byte_rows.RANGE_BYTES, layers * kinds * heads * rows
        )


class TableShape(NamedTuple):
    """The sizes of a layer's tables, of keys or of values."""

    heads: int  # H
    rows: int  # R, of each head
    size: int  # S
    slot_rows: int  # from a table to the one in the next slot


@dataclass(frozen=True)
class Blocks:
    """The blocks of S table rows that are read of some windows: B, head after head."""

    rows: torch.Tensor  # int32 [B S]: table rows
    heads: torch.Tensor  # int64 [B]: which of the n H heads a block is of
    starts: torch.Tensor  # int32 [B + 1]: of the blocks, in `rows`
    head_starts: torch.Tensor  # int32 [n H + 1]: of the heads, in `rows`
    biases: torch.Tensor  # float32 [B, S]: for the scores of each frame; -inf where there is none
    blocks_per_head: int  # at most
    # int64 [B]: where each lies among [n H, blocks_per_head]; None: every head has so many
    places: torch.Tensor | None

    @classmethod
    def of(cls, shape: TableShape, start: int, kept: Sequence[KeptFrames]) -> Blocks:
        """Return those of the windows in the slots from `start` on."""
        heads, _, size, _ = shape
        counts = torch.tensor([math.ceil(each.count / size) for each in kept])  # [n]
        counts = counts.repeat_interleave(heads)  # [n H]
        owners = torch.arange(len(counts)).repeat_interleave(counts)  # [B]
        firsts = counts.cumsum(0) - counts  # each head's first block
        within = torch.arange(len(owners)) - firsts[owners]  # a block's number in its head
        slots = start + owners // heads
        starts = slots * shape.slot_rows + owners % heads * shape.rows + within * size
        bias = [F.pad(w.log_counts, (0, -w.count % size), value=-torch.inf) for w in kept]
        biases = torch.cat([window.repeat(heads) for window in bias]).view(-1, size)
        most = int(counts.max())
        return cls(
            rows=(starts[:, None] + torch.arange(size)).flatten().int(),
            heads=owners,
            starts=torch.arange(len(owners) + 1, dtype=torch.int32) * size,
            head_starts=F.pad(counts.cumsum(0) * size, (1, 0)).int(),
            biases=biases,
            blocks_per_head=most,
            places=None if len(owners) == most * len(counts) else owners * most + within,
        )

    def softmax(self, scores: torch.Tensor) -> torch.Tensor:
        """Return the softmax of each head's scores, [B, S] → [B, S]."""
        size, heads = scores.shape[1], len(self.head_starts) - 1
        if self.places is None:
            return scores.view(heads, -1).softmax(dim=-1).view(-1, size)
        padded = scores.new_full((heads * self.blocks_per_head, size), -torch.inf)
        padded[self.places] = scores
        return padded.view(heads, -1).softmax(dim=-1).view(-1, size)[self.places]


@functools.lru_cache(maxsize=2)
def _made_once(shape: TableShape, start: int, kept: tuple[KeptFrames, ...]) -> Blocks:
    """Return the blocks of these windows: a step asks for them in every layer."""
    return Blocks.of(shape, start, kept)


@functools.lru_cache(maxsize=2)
def _read_by_kernel(kept: tuple[KeptFrames, ...], size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the blocks of these windows, int64 [n], and their scores' biases, [n, frames]."""
    blocks = torch.tensor([math.ceil(each.count / size) for each in kept])
    most = int(blocks.max()) * size
    biases = [F.pad(each.log_counts, (0, most - each.count), value=-torch.inf) for each in kept]
    return blocks, torch.stack(biases)


def _sizes(weights: Weights) -> tuple[int, int, int, int, int]:
    """Return layers, H, T, R and S."""
    decoder = weights.decoder
    frames, width = weights.encoder.positions.shape
    size = width // decoder.heads
    return len(decoder.layers), decoder.heads, frames, math.ceil(frames / size) * size, size


def _turned(key: torch.Tensor, rows: int) -> torch.Tensor:
    """Turn keys [n, H, K, S] so that rows hold S neighbouring frames → [n, H, rows, S]."""
    padded = F.pad(key, (0, 0, 0, rows - key.shape[2]))
    return padded.unflatten(2, (-1, key.shape[3])).transpose(3, 4).flatten(2, 3)


def _upright(turned: torch.Tensor) -> torch.Tensor:
    """Undo `_turned`, but for the padding."""
    return turned.unflatten(2, (-1, turned.shape[3])).transpose(3, 4).flatten(2, 3)
