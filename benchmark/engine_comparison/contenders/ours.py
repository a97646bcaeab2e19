"""Run our two engines, fed as the scheduler feeds them."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Literal

import torch
import transformers

from asr.config.config import Config
from asr.engines import load as engines
from asr.engines.engine import Engine, Window
from asr.options import Options
from benchmark.engine_comparison import formats
from benchmark.engine_comparison.contender import (
    BATCH,
    LANGUAGE,
    CannotRun,
    RoundOutput,
    Samples,
    Settings,
    Task,
)

if TYPE_CHECKING:
    from benchmark.engine_comparison.contenders.generation import Generation

VERSIONS = {"torch": torch.__version__, "transformers": transformers.__version__}


class Ours:
    """Feeds windows to an engine whenever it has room."""

    def __init__(self, engine: Engine, generation: Generation | None = None) -> None:
        self.versions = VERSIONS
        self._engine = engine
        self._generation = generation  # where batches run to their longest window's limit

    def transcribe(self, task: Task, output: RoundOutput, started: float) -> None:
        counted = self._generation.begin(task) if self._generation else None
        is_streamed = task.load == "first"
        windows = [self._window(*each, is_streamed) for each in task.each()]
        waiting = deque(windows)
        tokens: dict[Window, int] = {}
        engine = self._engine
        while waiting or engine.held():
            if task.load == "first" and output.finished:
                break
            admitted = [waiting.popleft() for _ in range(min(engine.free(), len(waiting)))]
            for result in engine.step(admitted):
                if result.error is not None:
                    raise result.error
                if result.is_final:
                    output.finished.append(time.monotonic() - started)
                    tokens[result.window] = sum(len(part.tokens) for part in result.segments)
        for window in windows:
            engine.drop(window)
        output.tokens += counted() if counted else [tokens[w] for w in windows if w in tokens]

    def _window(self, samples: Samples, limit: int | None, is_streamed: bool) -> Window:
        options = Options(
            language=LANGUAGE,
            timestamps="none",
            is_streamed=is_streamed,
            max_new_tokens=None if self._generation else limit,
        )
        return Window(samples, start=0.0, options=options)


def load(
    settings: Settings,
    kind: Literal["whisper", "pipeline"] = "whisper",
) -> Ours:
    """Load one of our engines.

    Raises:
        CannotRun: this CPU does not multiply in the dtype, so that another would be measured, or a
            detour.
    """
    if settings.device == "cpu" and settings.dtype not in formats.supported():
        raise CannotRun(f"this CPU does not multiply in {settings.dtype}")
    config = Config(
        model_id=str(settings.checkpoint),
        engine=kind,
        device=settings.device,
        dtype=settings.dtype,
        batch_size=BATCH,
    )
    generation = _generation() if kind == "pipeline" else None  # before the engine binds it
    engine = engines.load(config)
    while engine.prepare():  # as a server does before requests come
        pass
    return Ours(engine, generation)


def _generation() -> Generation:
    """Import Transformers' model, 84 MiB of memory that our Whisper engine does not need."""
    from benchmark.engine_comparison.contenders.generation import Generation

    return Generation()
