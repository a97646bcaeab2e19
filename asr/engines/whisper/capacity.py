"""How much is in flight at once, planned at the start from the memory that is free."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from asr.engines.whisper.model.kv_cache import slot_bytes
from asr.engines.whisper.model.weights import Weights

GPU_RESERVE = 3 * 2**29  # bytes for graphs, encoder scratch and what others take: 1.5 GiB
GPU_SHARE = 0.9  # of the free memory that is planned with
GPU_SLOTS = 128  # more rows only wait for memory bandwidth
FEW_SLOTS = 8  # with fewer keys and values of every layer are too much to keep
GPU_BUCKETS = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128)
GPU_LENGTHS = (128, 448)  # positions that a captured step looks at
CPU_SHARE = 0.5
CPU_SLOTS = 16
UNKNOWN_MEMORY = 4 * 2**20  # KiB, where the system does not say
MACHINE = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")  # of the container
NO_MEMORY = (  # said of the host's, by the driver, by cuBLAS; torch's own has a type
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


@dataclass(frozen=True)
class CapacityPlan:
    slots: int  # windows in flight
    encoder_batch: int  # windows encoded at once
    steps: int  # tokens that one launch writes in every row
    launches: int  # in one engine step, fewer where a row ends
    lookahead: int  # launches under way when the oldest one's tokens are read
    few_rows: int  # with fewer in flight the encoder has the right of way
    encoder_spacing: int  # else: tokens that rows write between two encoder batches
    head_start: int = 0  # tokens that a stream's row writes undisturbed after idleness
    buckets: tuple[int, ...] = ()  # row counts that are captured; empty: any count, no GPU
    lengths: tuple[int, ...] = ()  # cache lengths that are captured; empty: any length
    keeps_whole: bool = False  # what is heard, not keys and values of it: a slot is smaller

    @property
    def memory(self) -> tuple[int, bool]:
        """What is allocated by."""
        return self.slots, self.keeps_whole

    def halved(self) -> CapacityPlan:
        """Half of the encoder's batch, or where that is 1, smaller slots or half of them."""
        if self.encoder_batch > 1:
            return replace(self, encoder_batch=self.encoder_batch // 2)
        slots = max(1, self.slots // 2)
        if self.buckets and slots < FEW_SLOTS and not self.keeps_whole:
            return replace(self, keeps_whole=True)
        buckets = self.buckets and (*(rows for rows in self.buckets if rows < slots), slots)
        return replace(self, slots=slots, buckets=buckets)

    def rows(self, active: int) -> int:
        """Rows of a launch with `active` of them in flight."""
        return min((bucket for bucket in self.buckets if bucket >= active), default=active)

    def length(self, reach: int) -> int:
        """Positions that a launch looks at where the longest row reaches `reach`."""
        return min((length for length in self.lengths if length >= reach), default=reach)


def plan(weights: Weights, free: int | None = None) -> CapacityPlan:
    """Plan for what is free on the weights' device now, or for `free` bytes."""
    device = weights.device
    free = free_bytes(device) if free is None else free
    if device.type == "cuda":
        keeps_whole = _gpu_slots(weights, free, keeps_whole=False) < FEW_SLOTS
        slots = max(1, _gpu_slots(weights, free, keeps_whole))
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
            keeps_whole=keeps_whole,
        )
    slots = max(1, min(CPU_SLOTS, int(free * CPU_SHARE) // slot_bytes(weights)))
    return CapacityPlan(
        slots=slots,
        encoder_batch=1,
        steps=1,
        launches=4,
        lookahead=0,
        few_rows=8,
        encoder_spacing=16,
        head_start=160,
    )


def _gpu_slots(weights: Weights, free: int, keeps_whole: bool) -> int:
    return min(GPU_SLOTS, int(free * GPU_SHARE - GPU_RESERVE) // slot_bytes(weights, keeps_whole))


def free_bytes(device: torch.device) -> int:
    """Memory that can still be taken: the card's, or the machine's within its container."""
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what loading has left behind
        return int(torch.cuda.mem_get_info(device)[0])
    free = _numbers(MACHINE).get("MemAvailable:", UNKNOWN_MEMORY) * 2**10
    with contextlib.suppress(OSError, ValueError):  # no such file, or "max": no limit
        cache = _numbers(CGROUP / "memory.stat").get("inactive_file", 0)
        used = int((CGROUP / "memory.current").read_text()) - cache
        free = min(free, int((CGROUP / "memory.max").read_text()) - used)
    return max(0, free)


def _numbers(path: Path) -> dict[str, int]:
    """A file of lines such as `name 12 kB`; empty where there is no such file."""
    if not path.exists():
        return {}
    lines = (line.split() for line in path.read_text().splitlines())
    return {name: int(number) for name, number, *_ in lines}


def lacks_memory(error: RuntimeError) -> bool:
    """Whether less of the same may succeed."""
    told = str(error)
    return isinstance(error, torch.OutOfMemoryError) or any(word in told for word in NO_MEMORY)
