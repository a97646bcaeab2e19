"""CUDA graphs of the decode loop: one launch for hundreds of kernels."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import torch

from asr.whisper.loop import Machine, advance

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Captured:
    graph: torch.cuda.CUDAGraph
    found: torch.Tensor  # [steps, 2, rows]: overwritten by every replay of any graph


class Graphs:
    """Captures `advance` for each shape when it is first asked for, in one pool of memory."""

    def __init__(self, machine: Machine, steps: int) -> None:
        self._machine = machine
        self._steps = steps
        self._pool = torch.cuda.graph_pool_handle()
        self._captured: dict[tuple[int, int, bool, bool], Captured | None] = {}

    def advance(self, rows: int, length: int, samples: bool, aligns: bool) -> torch.Tensor:
        """As `loop.advance`; read the result before the next call, in stream order."""
        key = (rows, length, samples, aligns)
        if key not in self._captured:
            self._captured[key] = self._capture(*key)
        captured = self._captured[key]
        if captured is None:
            return advance(self._machine, rows, length, self._steps, samples, aligns)
        captured.graph.replay()
        return captured.found

    def _capture(self, rows: int, length: int, samples: bool, aligns: bool) -> Captured | None:
        started = time.monotonic()
        graph = torch.cuda.CUDAGraph()
        try:
            self._rehearse(rows, length, samples, aligns)
            with torch.cuda.graph(graph, pool=self._pool):
                found = advance(self._machine, rows, length, self._steps, samples, aligns)
        except torch.OutOfMemoryError:
            log.warning("no memory to capture %d rows: they run uncaptured", rows)
            return None
        taken = time.monotonic() - started
        log.debug("captured %d rows, %d positions in %.2f s", rows, length, taken)
        return Captured(graph, found)

    def _rehearse(self, rows: int, length: int, samples: bool, aligns: bool) -> None:
        """Run once on a side stream, as a capture wants it, and leave every row as it was.

        The caches need no care: what is written beyond a row's position is written again.
        """
        tensors = self._machine.state.tensors
        kept = [tensor.clone() for tensor in tensors]
        here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            advance(self._machine, rows, length, self._steps, samples, aligns)
        here.wait_stream(aside)
        for tensor, before in zip(tensors, kept, strict=True):
            tensor.copy_(before)
