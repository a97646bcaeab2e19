"""Our two engines, fed as the scheduler feeds them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any, Literal

import torch
import transformers

from asr import engine as engines
from asr.config import Config
from asr.engine import Engine
from asr.transcript import Options
from asr.whisper.flight import Row
from asr.windows import Window
from benchmark.contenders import BATCH, LANGUAGE, Heard, Settings, Task
from benchmark.contenders.generation import Generation

VERSIONS = {"torch": torch.__version__, "transformers": transformers.__version__}


class Ours:
    """Takes windows whenever the engine has room."""

    def __init__(self, engine: Engine, limited: Callable[[Task], Callable[[], list[int]]]) -> None:
        self.versions = VERSIONS
        self._engine = engine
        self._limited = limited  # prepares a task; what it returns tells the tokens written

    def hear(self, task: Task, heard: Heard, started: float) -> None:
        is_streamed = task.load == "first"
        options = Options(language=LANGUAGE, timestamps="none", is_streamed=is_streamed)
        windows = [Window(samples, start=0.0, options=options) for samples in task.windows]
        waiting = deque(windows)
        tokens = self._limited(task)
        engine = self._engine
        while waiting or engine.held():
            if task.load == "first" and heard.finished:
                break
            admitted = [waiting.popleft() for _ in range(min(engine.free(), len(waiting)))]
            for result in engine.step(admitted):
                if result.error is not None:
                    raise result.error
                if result.is_final:
                    heard.finished.append(time.monotonic() - started)
        for window in windows:
            engine.drop(window)
        heard.tokens += tokens()


def load(
    settings: Settings,
    kind: Literal["whisper", "pipeline"] = "whisper",
) -> Ours:
    config = Config(
        model_id=str(settings.checkpoint),
        engine=kind,
        device=settings.device,
        dtype=settings.dtype,
        batch_size=BATCH,
    )
    if kind == "pipeline":
        generation = Generation()  # before the engine binds it
        return Ours(engines.load(config), generation.begin)
    engine = engines.load(config)
    return Ours(engine, Rows(engine).begin)


class Rows:
    """Gives each window its own number of tokens, which no caller can ask for.

    The engine makes a row of each window as it takes it in; this stands where the row is made.
    """

    def __init__(self, engine: Any) -> None:
        self._make: Callable[[Window], Row] = engine._row
        self._rows: list[Row] = []
        self._limits: Iterator[int | None] = repeat(None)
        engine._row = self._limited

    def begin(self, task: Task) -> Callable[[], list[int]]:
        self._rows = []
        self._limits = repeat(None) if task.limits is None else iter(task.limits)
        return lambda: [len(row.tokens) for row in self._rows]

    def _limited(self, window: Window) -> Row:
        row = self._make(window)
        limit = next(self._limits)
        if limit is not None:
            row.limit = min(row.limit, limit)
        self._rows.append(row)
        return row
