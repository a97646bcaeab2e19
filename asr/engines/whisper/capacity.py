"""Plan from the free memory how many windows are decoded together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from asr.engines.memory import free_bytes
from asr.engines.whisper.model.kv_cache import slot_bytes
from asr.engines.whisper.model.weights import Packing, Weights

GPU_RESERVE = 3 * 2**29  # So many bytes stay free for graphs, encoder and others: 1.5 GiB.
GPU_SHARE = 0.9  # Slots take at most this share of a GPU's free memory, less the reserve.
GPU_SLOTS = 128  # A GPU has at most so many slots: more only wait for memory bandwidth.
FEW_SLOTS = 8  # A GPU with room for fewer stores encoder output, not keys and values.
GPU_BUCKETS = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128)  # A launch has one of these row counts.
GPU_LENGTHS = (128, 448)  # A captured launch reads so many positions of the caches.
CPU_SHARE = 0.5  # Slots take at most this share of a CPU's free memory.
CPU_SLOTS = 16  # A CPU has at most so many slots.
# In int8 it has at most so many: with 16, a row of a small model takes 3 % less time in a decoder's
# step, 1 % less in all, and 160 MB more memory.
INT8_SLOTS = 12
CPU_FEW_ROWS = 8  # With fewer sequences a CPU's encoder goes first.
# In int8 it does with fewer than so many: a file of 10 windows takes 0.92 of the time with 11, not
# 8, because fewer steps decode few rows.
INT8_FEW_ROWS = 11
SIDE_BY_SIDE = 4  # A CPU encodes at most so many windows at once.


@dataclass(frozen=True)
class CapacityPlan:
    """How many windows are encoded and decoded together, and in which turns."""

    slots: int  # windows that are decoded together
    encoder_batch: int  # windows encoded at once
    steps: int  # tokens of every sequence that one launch decodes
    launches: int  # in one engine step, fewer where a sequence ends
    lookahead: int  # launches that still run when an older one's tokens are read
    few_rows: int  # With fewer sequences the encoder goes first.
    encoder_spacing: int  # else: tokens of each sequence between two encoder batches
    head_start: int = 0  # tokens of a stream's first window, at most, before the next encoder batch
    buckets: tuple[int, ...] = ()  # row counts that are captured; empty: any, and no graphs
    lengths: tuple[int, ...] = ()  # cache lengths that are captured; empty: any length
    side_by_side: bool = False  # Each window of an encoder batch has its own cores.
    keeps_encoder_output: bool = False  # A slot stores no keys and values: it is smaller.

    @property
    def memory(self) -> tuple[int, bool]:
        """The parameters of the allocation: slots, and what they store."""
        return self.slots, self.keeps_encoder_output

    def halved(self) -> CapacityPlan:
        """Return a plan with half the encoder batch; where that is 1, smaller or fewer slots."""
        if self.encoder_batch > 1:
            return replace(self, encoder_batch=self.encoder_batch // 2)
        slots = max(1, self.slots // 2)
        if self.buckets and slots < FEW_SLOTS and not self.keeps_encoder_output:
            return replace(self, keeps_encoder_output=True)
        buckets = self.buckets and (*(rows for rows in self.buckets if rows < slots), slots)
        return replace(self, slots=slots, buckets=buckets)

    def rows(self, active: int) -> int:
        """Return the row count of a launch for `active` sequences."""
        return min((bucket for bucket in self.buckets if bucket >= active), default=active)

    def length(self, reach: int) -> int:
        """Return how many positions a launch reads where the longest sequence reaches `reach`."""
        return min((length for length in self.lengths if length >= reach), default=reach)


def plan(weights: Weights, free: int | None = None) -> CapacityPlan:
    """Plan for the free memory of the weights' device, or for `free` bytes."""
    device = weights.device
    free = free_bytes(device) if free is None else free
    if device.type == "cuda":
        keeps_encoder_output = _gpu_slots(weights, free, keeps_encoder_output=False) < FEW_SLOTS
        slots = max(1, _gpu_slots(weights, free, keeps_encoder_output))
        positions = int(weights.decoder.positions.shape[0])
        return CapacityPlan(
            slots=slots,
            encoder_batch=min(8, slots),
            steps=4,
            launches=1,
            lookahead=1,
            few_rows=max(1, slots - 7),  # a whole encoder batch fits
            encoder_spacing=8,
            buckets=(*(bucket for bucket in GPU_BUCKETS if bucket < slots), slots),
            lengths=tuple(sorted({min(length, positions) for length in GPU_LENGTHS})),
            keeps_encoder_output=keeps_encoder_output,
        )
    most = INT8_SLOTS if weights.packing is Packing.INT8 else CPU_SLOTS
    few_rows = INT8_FEW_ROWS if weights.packing is Packing.INT8 else CPU_FEW_ROWS
    slots = max(1, min(most, int(free * CPU_SHARE) // slot_bytes(weights)))
    return CapacityPlan(
        slots=slots,
        encoder_batch=min(SIDE_BY_SIDE, slots, torch.get_num_threads()),
        steps=1,
        launches=4,
        lookahead=0,
        few_rows=few_rows,
        encoder_spacing=16,
        head_start=160,
        side_by_side=True,
    )


def _gpu_slots(weights: Weights, free: int, keeps_encoder_output: bool) -> int:
    return min(
        GPU_SLOTS, int(free * GPU_SHARE - GPU_RESERVE) // slot_bytes(weights, keeps_encoder_output)
    )
