"""CUDA graphs of the decode loop: one launch replaces hundreds of kernel launches."""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass
from itertools import product

import torch

from asr.engines.memory import lacks_memory
from asr.engines.whisper.capacity import CapacityPlan
from asr.engines.whisper.runner import DecodeShape, ModelRunner, decode

log = logging.getLogger(__name__)

UNCAPTURED_LAUNCHES = 8  # After so many plain launches a shape is captured: it takes as long.
FREE_BYTES = 2**29  # With less free memory, in bytes, nothing is captured ahead.


@dataclass(frozen=True)
class Captured:
    """A graph of one shape, and the tensor that each replay writes."""

    graph: torch.cuda.CUDAGraph
    decoded: torch.Tensor | None  # [steps, 2, rows]; None: the capture or a replay failed


class Graphs:
    """Captures `runner.decode` for each shape, in one pool of memory, and replays it.

    A shape that is new while sequences are decoded runs uncaptured, because capturing takes as
    long as several launches do; it is captured when nothing is decoded, or once it has come often.
    All captures and what runs before them share one stream: each further one would have a
    workspace of its own for matrix products. All are made by the thread that replays them: if
    another one made them, that workspace may be freed when it ends (pytorch#192061).
    """

    def __init__(self, runner: ModelRunner, plan: CapacityPlan) -> None:
        self._runner = runner
        self._plan = plan
        self._device = runner.weights.device
        self._aside = torch.cuda.Stream(self._device)
        self._pool = torch.cuda.graph_pool_handle()
        self._captured: dict[DecodeShape, Captured] = {}
        self._uncaptured: Counter[DecodeShape] = Counter()  # launches that were not captured
        self._kinds = [(False, False), (True, False)]  # (samples, aligns): the fallback samples
        self._can_capture = True  # until a capture fails

    def decode(self, shape: DecodeShape) -> torch.Tensor:
        """Run `runner.decode`; read the result before the next call, in stream order."""
        if shape[2:] not in self._kinds:
            self._kinds.append(shape[2:])
        if shape not in self._captured and self._can_capture:
            self._uncaptured[shape] += 1
            if self._uncaptured[shape] > UNCAPTURED_LAUNCHES:
                self._captured[shape] = self._capture(shape)
        captured = self._captured.get(shape)
        if captured is None or captured.decoded is None:
            return self._launch(shape)
        try:
            captured.graph.replay()
        except RuntimeError:
            self._give_up(
                "the CUDA graph of %s cannot be replayed: this shape runs without it", shape
            )
            self._captured[shape] = Captured(captured.graph, None)
            return self._launch(shape)
        return captured.decoded

    def prepare(self) -> bool:
        """Capture one more shape of the kinds in use; return whether more are left."""
        left = [shape for shape in self._shapes() if shape not in self._captured]
        if not left or not self._can_capture:
            return False
        if torch.cuda.mem_get_info(self._device)[0] < FREE_BYTES:
            return False
        self._captured[left[0]] = self._capture(left[0])
        return self._can_capture and len(left) > 1

    def _shapes(self) -> list[DecodeShape]:
        """List the largest first, whose memory the others share, then those of one request."""
        sizes = list(product(reversed(self._plan.buckets), reversed(self._plan.lengths)))
        fewest = [size for size in sizes if size[0] == self._plan.buckets[0]]
        order = dict.fromkeys([sizes[0], *fewest, *sizes])
        return [DecodeShape(*size, *kind) for kind in self._kinds for size in order]

    def _decode(self, shape: DecodeShape) -> torch.Tensor:
        return decode(self._runner, shape, self._plan.steps)

    def _capture(self, shape: DecodeShape) -> Captured:
        """Capture a shape; keep the graph also where that fails.

        Freeing one graph frees the workspace of all others of its stream (pytorch#193402).
        Without memory for one shape there may be some for another. After any other failure none
        is tried again: torch 2.11 takes the capture for unfinished ever after (pytorch#180395).
        """
        started = time.monotonic()
        graph = torch.cuda.CUDAGraph()
        try:
            decoded = self._recorded(graph, shape)
        except RuntimeError as error:
            if lacks_memory(error):
                log.warning("no memory for the CUDA graph of %s: this shape runs without it", shape)
            else:
                self._can_capture = False
                self._give_up(
                    "the CUDA graph of %s cannot be captured: new shapes run without graphs",
                    shape,
                )
            return Captured(graph, None)
        log.debug("captured the CUDA graph of %s in %.2f s", shape, time.monotonic() - started)
        return Captured(graph, decoded)

    def _give_up(self, message: str, shape: DecodeShape) -> None:
        """Log the current error, and go on without a graph, unless the GPU is lost."""
        log.warning(message, shape, exc_info=True)
        torch.cuda.synchronize(self._device)  # raises where it is lost, and ends the engine

    def _recorded(self, graph: torch.cuda.CUDAGraph, shape: DecodeShape) -> torch.Tensor:
        with torch.inference_mode(), torch.cuda.device(self._device):
            here = torch.cuda.current_stream()
            self._run_aside(shape, here)
            with (
                torch.cuda.stream(here),  # else torch stays aside where the capture fails
                torch.cuda.graph(
                    graph,
                    pool=self._pool,
                    stream=self._aside,
                    capture_error_mode="thread_local",  # other threads do not matter
                ),
            ):
                return self._decode(shape)

    def _run_aside(self, shape: DecodeShape, here: torch.cuda.Stream) -> None:
        """Run a shape once on the other stream, before its capture; leave all rows unchanged."""
        saved = self._runner.state.saved()
        self._aside.wait_stream(here)
        try:
            with torch.cuda.stream(self._aside):
                self._decode(shape)
        finally:
            here.wait_stream(self._aside)
            self._runner.state.restore(saved)

    def _launch(self, shape: DecodeShape) -> torch.Tensor:
        """Run a shape uncaptured; where memory runs out, leave all rows unchanged."""
        saved = self._runner.state.saved()
        try:
            return self._decode(shape)
        except RuntimeError as error:
            if lacks_memory(error):
                self._runner.state.restore(saved)
            raise
