"""Stand in for an engine: the text is the length of the window."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from asr.capabilities import EngineInfo
from asr.engines.engine import Window, WindowResult
from asr.transcript import Segment

GATE_SECONDS = 120  # A step that is still held back after so many seconds goes on.


@dataclass
class FakeEngine:
    """Writes the length of each window and records its steps.

    A step waits while `gate` is cleared.
    """

    capacity: int = 4
    steps: list[list[Window]] = field(default_factory=list)
    dropped: list[Window] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    transcribe: Callable[[Window], WindowResult] | None = None
    info: EngineInfo = EngineInfo(
        "fake", "fake", "CUDA is not available", "none", {"en": "english", "es": "spanish"}, True
    )

    def __post_init__(self) -> None:
        self.gate.set()

    def free(self, _is_live: bool = False) -> int:
        return self.capacity

    def held(self) -> int:
        return 0

    def step(self, admitted: Sequence[Window]) -> list[WindowResult]:
        self.steps.append(list(admitted))
        self.gate.wait(GATE_SECONDS)
        return [(self.transcribe or transcribed)(window) for window in admitted]

    def drop(self, window: Window) -> None:
        self.dropped.append(window)

    def prepare(self) -> bool:
        return False


class SpeakingEngine(FakeEngine):
    """Gives out the first segments of each window before the rest of it, and then waits.

    Each step gives one segment more; the last one comes with the result.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.gate.clear()
        self._inside: dict[Window, int] = {}  # segments that are given out

    def held(self) -> int:
        return len(self._inside)

    def free(self, _is_live: bool = False) -> int:
        return self.capacity - len(self._inside)

    def step(self, admitted: Sequence[Window]) -> list[WindowResult]:
        self.steps.append(list(admitted))
        self._inside |= dict.fromkeys(admitted, 0)
        if not admitted:
            self.gate.wait(GATE_SECONDS)
        return [self._next(window) for window in list(self._inside)]

    def drop(self, window: Window) -> None:
        super().drop(window)
        self._inside.pop(window, None)

    def _next(self, window: Window) -> WindowResult:
        result = (self.transcribe or transcribed)(window)
        self._inside[window] += 1
        count = self._inside[window]
        if count >= len(result.segments):
            del self._inside[window]
            return result
        bare = tuple(replace(segment, words=()) for segment in result.segments[:count])
        early = bare if window.options.is_streamed else ()
        return WindowResult(window, early, result.language, is_final=False)


def transcribed(window: Window) -> WindowResult:
    text = f" {window.seconds:.2f} s"
    language = window.options.language or "en"
    return WindowResult(window, (Segment(0.0, window.seconds, text),), language)
