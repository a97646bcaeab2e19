"""The contract of an engine: windows in, results out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from asr.capabilities import EngineInfo
from asr.options import Options
from asr.pcm import SAMPLE_RATE, Samples, peak
from asr.transcript import LanguageDetection, Segment

SILENCE_PEAK = 1e-4  # -80 dBFS: digital silence and dither, never speech


@dataclass(frozen=True, eq=False)
class Window:
    """A slice that the model hears."""

    samples: Samples
    start: float  # seconds from the start of the audio
    options: Options = field(default_factory=Options)
    overlap: float = 0.0  # seconds shared with the window before

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE

    @property
    def end(self) -> float:
        return self.start + self.seconds

    @property
    def is_silent(self) -> bool:
        return peak(self.samples) < SILENCE_PEAK


@dataclass(frozen=True)
class WindowResult:
    """What the engine heard in one window; times are relative to the window's start."""

    window: Window
    segments: tuple[Segment, ...] = ()
    language: str | None = None  # code heard or asked; None where the model does not say
    probabilities: Mapping[str, float] = field(default_factory=dict)  # by code, where detected
    rejected: str | None = None  # why text was thrown away, such as "repetition"
    opened: float | None = None  # seconds, where a segment begins that was not written
    error: Exception | None = None  # why this window, and only this one, failed
    is_final: bool = True  # False: the language alone, ahead of the text

    @property
    def detection(self) -> LanguageDetection:
        return LanguageDetection(self.language, self.probabilities)


class Engine(Protocol):
    """Hears windows of all callers; used by one thread only.

    `capacity` is how many windows it can hold at best, `free` how many it takes now. `step` takes
    in at most that many, advances everything it holds, and returns what is new: the finished
    windows' results and, where the engine can say it early, results that are not final and carry
    the language alone. `held` says how many windows are inside, `drop` lets one go unfinished. A
    failure of one window is a result with `error`; whatever `step` raises is the engine's end.
    `prepare` uses an idle moment for one piece of work that later steps will profit by, and says
    whether more of it is left; it is asked for only while nothing is inside.
    """

    @property
    def info(self) -> EngineInfo: ...

    @property
    def capacity(self) -> int: ...

    def free(self) -> int: ...

    def held(self) -> int: ...

    def step(self, admitted: Sequence[Window]) -> list[WindowResult]: ...

    def drop(self, window: Window) -> None: ...

    def prepare(self) -> bool: ...


class Loaded(Engine, Protocol):
    """An engine that has not heard anything yet, whose first windows would take longer."""

    def warm_up(self) -> None: ...
