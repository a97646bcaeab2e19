"""The engine that hears windows: its contract, and how one is loaded."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from asr.config import Config
from asr.transcript import EngineInfo
from asr.windows import Window, WindowResult

log = logging.getLogger(__name__)


class Engine(Protocol):
    """Hears windows of all callers; used by one thread only.

    `free` says how many windows it takes now. `step` takes in at most that many, advances
    everything it holds, and returns what is new: the finished windows' results and, where the
    engine can say it early, results that are not final and carry the language alone. `held`
    says how many windows are inside, `drop` lets one go unfinished. A failure of one window is
    a result with `error`; whatever `step` raises is the end of the engine.
    """

    @property
    def info(self) -> EngineInfo: ...

    def free(self) -> int: ...

    def held(self) -> int: ...

    def step(self, admitted: Sequence[Window]) -> list[WindowResult]: ...

    def drop(self, window: Window) -> None: ...


def load(config: Config) -> Engine:
    """Load the model of `config`, warmed and ready to hear; minutes where it is downloaded."""
    from asr import hardware, pipeline

    machine = hardware.Machine.probe(config.device)
    chosen = hardware.choose(config, machine)
    log.info("hardware: %s", chosen.reason)
    return pipeline.load(config, chosen)
