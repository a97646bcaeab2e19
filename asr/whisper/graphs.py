"""CUDA graphs of the decode loop: one launch for hundreds of kernels."""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import torch

from asr.whisper.loop import Machine, advance
from asr.whisper.plan import Plan

log = logging.getLogger(__name__)

PATIENCE = 8  # plain launches of one shape, which take about as long as capturing it
MARGIN = 2**29  # bytes of the card that idle moments leave alone


class Shape(NamedTuple):
    """What one captured launch is good for."""

    rows: int
    length: int  # of the caches that is looked at
    samples: bool  # whether a row may have a temperature
    aligns: bool  # whether a row's words may be timed


@dataclass(frozen=True)
class Captured:
    graph: torch.cuda.CUDAGraph
    found: torch.Tensor | None  # [steps, 2, rows], written by every replay; None: no memory for it


class Graphs:
    """`advance`, captured for each shape in one pool of memory.

    A shape that is new while rows are in flight runs uncaptured, as capturing takes as long as
    several launches do; it is captured when nothing is in flight, or once it has come often.
    All captures and what runs before them share one stream: each further one would have a
    workspace of its own for matrix products.
    """

    def __init__(self, machine: Machine, plan: Plan) -> None:
        self._machine = machine
        self._plan = plan
        self._device = machine.weights.device
        self._aside = torch.cuda.Stream(self._device)
        self._pool = torch.cuda.graph_pool_handle()
        self._captured: dict[Shape, Captured] = {}
        self._plain: Counter[Shape] = Counter()  # launches that were not captured
        self._kinds = [(False, False), (True, False)]  # (samples, aligns): texts are written anew

    def advance(self, shape: Shape) -> torch.Tensor:
        """As `loop.advance`; read the result before the next call, in stream order."""
        if shape[2:] not in self._kinds:
            self._kinds.append(shape[2:])
        if shape not in self._captured:
            self._plain[shape] += 1
            if self._plain[shape] > PATIENCE:
                self._captured[shape] = self._capture(shape)
        captured = self._captured.get(shape)
        if captured is None or captured.found is None:
            return self._launch(shape)
        captured.graph.replay()
        return captured.found

    def warm_up(self) -> None:
        """Capture what the fewest rows launch: one request is heard at full speed from the start.

        The largest shape comes before, since all others fit in its memory.
        """
        plain = [shape for shape in self._shapes() if shape[2:] == self._kinds[0]]
        fewest = [shape for shape in plain if shape.rows == self._plan.buckets[0]]
        for shape in dict.fromkeys([*plain[:1], *fewest]):
            self._captured[shape] = self._capture(shape)

    def prepare(self) -> bool:
        """Capture one more shape of a kind that is asked for; whether more are left."""
        left = [shape for shape in self._shapes() if shape not in self._captured]
        if not left or torch.cuda.mem_get_info(self._device)[0] < MARGIN:
            return False
        self._captured[left[0]] = self._capture(left[0])
        return len(left) > 1

    def _shapes(self) -> list[Shape]:
        """The largest first."""
        sizes = list(product(reversed(self._plan.buckets), reversed(self._plan.lengths)))
        return [Shape(*size, *kind) for kind in self._kinds for size in sizes]

    def _advance(self, shape: Shape) -> torch.Tensor:
        rows, length, samples, aligns = shape
        return advance(self._machine, rows, length, self._plan.steps, samples, aligns)

    def _capture(self, shape: Shape) -> Captured:
        """The graph is kept where memory runs out, too.

        Letting go of one takes away the workspace of all others of its stream (pytorch#193402).
        """
        started = time.monotonic()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.inference_mode(), torch.cuda.device(self._device):
                self._rehearse(shape)
                with torch.cuda.graph(
                    graph,
                    pool=self._pool,
                    stream=self._aside,
                    capture_error_mode="thread_local",  # what other threads do is no concern
                ):
                    found = self._advance(shape)
        except torch.OutOfMemoryError:
            log.warning("no memory to capture %s: it runs uncaptured", shape)
            return Captured(graph, None)
        log.debug("captured %s in %.2f s", shape, time.monotonic() - started)
        return Captured(graph, found)

    def _rehearse(self, shape: Shape) -> None:
        """Run once on the side, as a capture wants it, and leave every row as it was."""
        kept = self._machine.state.saved()
        here = torch.cuda.current_stream()
        self._aside.wait_stream(here)
        try:
            with torch.cuda.stream(self._aside):
                self._advance(shape)
        finally:
            here.wait_stream(self._aside)
            self._machine.state.restore(kept)

    def _launch(self, shape: Shape) -> torch.Tensor:
        """Uncaptured; where memory runs out half way, every row is left as it was."""
        kept = self._machine.state.saved()
        try:
            return self._advance(shape)
        except torch.OutOfMemoryError:
            self._machine.state.restore(kept)
            raise
