"""CUDA graphs of the decode loop: one launch for hundreds of kernels."""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import torch

from asr.engines.whisper.capacity import CapacityPlan, lacks_memory
from asr.engines.whisper.runner import ModelRunner, advance

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
    found: torch.Tensor | None  # [steps, 2, rows], written by every replay; None: it failed


class Graphs:
    """`advance`, captured for each shape in one pool of memory.

    A shape that is new while rows are in flight runs uncaptured, as capturing takes as long as
    several launches do; it is captured when nothing is in flight, or once it has come often.
    All captures and what runs before them share one stream: each further one would have a
    workspace of its own for matrix products. All are of the thread that replays them: with
    another one that workspace may go when it ends (pytorch#192061).
    """

    def __init__(self, machine: ModelRunner, plan: CapacityPlan) -> None:
        self._machine = machine
        self._plan = plan
        self._device = machine.weights.device
        self._aside = torch.cuda.Stream(self._device)
        self._pool = torch.cuda.graph_pool_handle()
        self._captured: dict[Shape, Captured] = {}
        self._plain: Counter[Shape] = Counter()  # launches that were not captured
        self._kinds = [(False, False), (True, False)]  # (samples, aligns): texts are written anew
        self._can_capture = True  # as far as is known

    def advance(self, shape: Shape) -> torch.Tensor:
        """As `loop.advance`; read the result before the next call, in stream order."""
        if shape[2:] not in self._kinds:
            self._kinds.append(shape[2:])
        if shape not in self._captured and self._can_capture:
            self._plain[shape] += 1
            if self._plain[shape] > PATIENCE:
                self._captured[shape] = self._capture(shape)
        captured = self._captured.get(shape)
        if captured is None or captured.found is None:
            return self._launch(shape)
        try:
            captured.graph.replay()
        except RuntimeError:
            self._give_up("%s cannot be replayed: it runs uncaptured", shape)
            self._captured[shape] = Captured(captured.graph, None)
            return self._launch(shape)
        return captured.found

    def prepare(self) -> bool:
        """Capture one more shape of a kind that is asked for; whether more are left."""
        left = [shape for shape in self._shapes() if shape not in self._captured]
        if not left or not self._can_capture:
            return False
        if torch.cuda.mem_get_info(self._device)[0] < MARGIN:
            return False
        self._captured[left[0]] = self._capture(left[0])
        return self._can_capture and len(left) > 1

    def _shapes(self) -> list[Shape]:
        """The largest first, in whose memory the others fit, then what a single request needs."""
        sizes = list(product(reversed(self._plan.buckets), reversed(self._plan.lengths)))
        fewest = [size for size in sizes if size[0] == self._plan.buckets[0]]
        order = dict.fromkeys([sizes[0], *fewest, *sizes])
        return [Shape(*size, *kind) for kind in self._kinds for size in order]

    def _advance(self, shape: Shape) -> torch.Tensor:
        rows, length, samples, aligns = shape
        return advance(self._machine, rows, length, self._plan.steps, samples, aligns)

    def _capture(self, shape: Shape) -> Captured:
        """The graph is kept where it fails, too.

        Letting go of one takes away the workspace of all others of its stream (pytorch#193402).
        Without memory for one shape there may be some for another. After any other failure none
        is tried again: torch 2.11 believes for ever that the capture goes on (pytorch#180395).
        """
        started = time.monotonic()
        graph = torch.cuda.CUDAGraph()
        try:
            found = self._recorded(graph, shape)
        except RuntimeError as error:
            if lacks_memory(error):
                log.warning("no memory to capture %s: it runs uncaptured", shape)
            else:
                self._can_capture = False
                self._give_up("%s cannot be captured: whatever is not yet runs uncaptured", shape)
            return Captured(graph, None)
        log.debug("captured %s in %.2f s", shape, time.monotonic() - started)
        return Captured(graph, found)

    def _give_up(self, message: str, shape: Shape) -> None:
        """Tell of the error in hand, and go on without a graph, unless the card is lost."""
        log.warning(message, shape, exc_info=True)
        torch.cuda.synchronize(self._device)  # raises for ever where it is: the engine's end

    def _recorded(self, graph: torch.cuda.CUDAGraph, shape: Shape) -> torch.Tensor:
        with torch.inference_mode(), torch.cuda.device(self._device):
            here = torch.cuda.current_stream()
            self._rehearse(shape, here)
            with (
                torch.cuda.stream(here),  # torch stays aside where the capture's end fails
                torch.cuda.graph(
                    graph,
                    pool=self._pool,
                    stream=self._aside,
                    capture_error_mode="thread_local",  # what other threads do is no concern
                ),
            ):
                return self._advance(shape)

    def _rehearse(self, shape: Shape, here: torch.cuda.Stream) -> None:
        """Run once on the side, as a capture wants it, and leave every row as it was."""
        kept = self._machine.state.saved()
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
        except RuntimeError as error:
            if lacks_memory(error):
                self._machine.state.restore(kept)
            raise
