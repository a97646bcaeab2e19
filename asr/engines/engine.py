"""The contract of an engine: windows in, results out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from asr.capabilities import EngineInfo
from asr.options import Options
from asr.pcm import SAMPLE_RATE, Samples, peak
from asr.transcript import LanguageDetection, Segment

SILENCE_PEAK = 1e-4  # A window with no sample above this is silent: -80 dBFS, never speech.


@dataclass(frozen=True, eq=False)
class Window:
    """A slice of the audio that the model transcribes at once."""

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
    """What the engine transcribed of one window; times count from the window's start."""

    window: Window
    segments: tuple[Segment, ...] = ()
    language: str | None = None  # code, detected or asked; None where the model does not say
    probabilities: Mapping[str, float] = field(default_factory=dict)  # by code, where detected
    rejected: str | None = None  # why the text was dropped, such as "repetition"
    opened: float | None = None  # seconds, where a segment begins whose text is missing
    error: Exception | None = None  # why this window, and only this one, failed
    lasting: int = 0  # segments, from the first on, that were good enough to be given out early
    left_out: tuple[str, ...] = ()  # of the vocabulary: names that the prompt has no room for
    is_final: bool = True  # False: language and first segments, which stay, before the whole text

    @property
    def detection(self) -> LanguageDetection:
        return LanguageDetection(self.language, self.probabilities)


class Engine(Protocol):
    """Transcribes windows of all callers; used by one thread only.

    `capacity` is how many windows it can hold at best, `free` how many it takes now; of live ones,
    which it works on before all others, it may take more. `step` takes in at most that many,
    advances everything it holds, and returns what is new: the finished
    windows' results and, where the engine knows it early, results that are not final. These carry
    the language, and in streams all segments so far that will stay as they are, without words.
    `held` counts the windows inside, `drop` removes one before its end. A failure of one window
    is a result with `error`; whatever `step` raises ends the engine. `prepare` does one piece of
    work that makes later steps faster, and returns whether more is left; it is called only while
    no window is inside.
    """

    @property
    def info(self) -> EngineInfo: ...

    @property
    def capacity(self) -> int: ...

    def free(self, is_live: bool = False, /) -> int: ...

    def held(self) -> int: ...

    def step(self, admitted: Sequence[Window]) -> list[WindowResult]: ...

    def drop(self, window: Window) -> None: ...

    def prepare(self) -> bool: ...


class Loaded(Engine, Protocol):
    """An engine that has transcribed nothing yet; `warm_up` runs what is slow the first time."""

    def warm_up(self) -> None: ...
