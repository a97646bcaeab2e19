"""The engine that hears windows: its contract, and how one is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from asr.config import Config
from asr.windows import Window, WindowResult


@dataclass(frozen=True)
class EngineInfo:
    """What the engine runs and what it can do, in words that may be shown to callers."""

    model_id: str
    engine: str  # "pipeline" or "whisper"
    device_name: str  # the GPU's name, or "CUDA is not available"
    hardware: str  # device, dtype and attention kernel, and why
    languages: Mapping[str, str] = field(default_factory=dict)  # code → English name, lower case
    can_translate: bool = False
    can_prompt: bool = False
    has_segments: bool = True  # whether the model itself times its segments
    has_words: bool = False  # whether `timestamps=word` can be honoured


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
    from asr import pipeline

    return pipeline.load(config)
