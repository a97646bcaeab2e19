"""Imitate a graphics card: torch.cuda's calls run on a CPU, with graphs that work.

A capture records every operation and leaves all memory as it was; a replay runs the recorded
operations again on the same memory. So a capture that takes in a number, or a tensor that is
replaced where it should be written to, gives wrong results as on a real card.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from asr.engines.whisper import batch
from asr.engines.whisper.decoding import logits, sampling
from asr.engines.whisper.model.transfer import HostCopy

# Operations with these names wait for the card, which no capture allows.
SYNCHRONISING = {"_local_scalar_dense", "nonzero", "masked_select", "item", "equal", "is_nonzero"}


class Tape(TorchDispatchMode):
    """Records each operation and the memory that it writes."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[tuple[Callable[..., Any], Any, Any, Any]] = []
        self.before: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # by address: memory written

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any | None = None
    ) -> Any:
        name = func._schema.name.removeprefix("aten::")
        assert name not in SYNCHRONISING, f"{name} waits for the card within a capture"
        given = kwargs or {}
        if func._schema.is_mutable:
            for argument, value in zip(func._schema.arguments, args, strict=False):
                if argument.alias_info is not None and argument.alias_info.is_write:
                    whole = value.untyped_storage()
                    keep = torch.empty(0, dtype=torch.uint8).set_(whole)
                    self.before.setdefault(whole.data_ptr(), (keep, keep.clone()))
        output = func(*args, **given)
        self.notes.append((func, args, given, output))
        return output

    def rewind(self) -> None:
        """Restore all memory as it was before the recording."""
        for memory, before in self.before.values():
            memory.copy_(before)

    def play(self) -> None:
        for func, args, kwargs, output in self.notes:
            again = func(*args, **kwargs)
            for old, new in zip(tree_leaves(output), tree_leaves(again), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Graph:
    """Stands for torch.cuda.CUDAGraph."""

    def __init__(self) -> None:
        self.tape = Tape()
        self.replays = 0

    def replay(self) -> None:
        self.replays += 1
        self.tape.play()


@dataclass(eq=False)
class Stream:
    device: Any = None
    awaited: list[Stream] = field(default_factory=list)

    def wait_stream(self, other: Stream) -> None:
        self.awaited.append(other)


class Card:
    """Stands for the card and records how it is used."""

    def __init__(self) -> None:
        self.graphs: list[Graph] = []
        self.captured_on: list[Stream] = []
        self.ran_on: list[Stream] = []  # besides the main stream
        self.pools: list[object] = []
        self.free = 2**40  # bytes
        self.main = self.current = Stream()
        self.is_full: Callable[[], bool] = lambda: False  # whether a capture is out of memory
        self.is_capturing = False
        self.is_broken = False  # every capture fails
        self.is_lost = False  # every synchronisation fails

    @contextmanager
    def graph(
        self, graph: Graph, pool: object, stream: Stream, capture_error_mode: str
    ) -> Iterator[None]:
        assert pool is self.pools[-1]
        assert capture_error_mode == "thread_local", "other threads may spoil it"
        assert self.main in stream.awaited, "it was not run on the side before"
        assert stream in self.main.awaited, "the main stream goes on before that has ended"
        self.graphs.append(graph)
        self.captured_on.append(stream)
        if self.is_full():
            raise torch.OutOfMemoryError("CUDA out of memory")
        before, self.current = self.current, stream
        self.is_capturing = True
        try:
            with graph.tape:
                yield
        finally:
            graph.tape.rewind()
            self.is_capturing = False
        if self.is_broken:  # torch goes on with the stream that was captured
            raise torch.AcceleratorError("CUDA error: an earlier error spoilt the capture")
        self.current = before

    def pool(self) -> object:
        self.pools.append(object())
        return self.pools[-1]

    @contextmanager
    def on(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        if stream is not self.main:
            self.ran_on.append(stream)
        try:
            yield
        finally:
            self.current = before

    def synchronize(self, _: object = None) -> None:
        if self.is_capturing:
            raise torch.AcceleratorError("CUDA error: operation not permitted when capturing")
        if self.is_lost:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    @classmethod
    def stand_in(cls, patch: pytest.MonkeyPatch) -> Card:
        """Replace torch.cuda's calls with those of a new card."""
        card = cls()
        for name, value in {
            "CUDAGraph": Graph,
            "Stream": Stream,
            "graph": card.graph,
            "graph_pool_handle": card.pool,
            "stream": card.on,
            "synchronize": card.synchronize,
            "current_stream": lambda *_: card.current,
            "is_current_stream_capturing": lambda: card.is_capturing,
            "device": lambda _: nullcontext(),
            "mem_get_info": lambda _: (card.free, 2**40),
        }.items():
            patch.setattr(torch.cuda, name, value)
        patch.setattr(batch, "_is_gpu", lambda _: True)
        patch.setattr(HostCopy, "of", lambda tensor: HostCopy(tensor.clone(), None))
        patch.setattr(
            logits, "sample", sampling._sampled
        )  # as on a card: for all rows, none picked out
        return card
