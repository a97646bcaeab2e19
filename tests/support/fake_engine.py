"""Stand in for an engine: the text is the length of the window."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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

    def free(self) -> int:
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


def transcribed(window: Window) -> WindowResult:
    text = f" {window.seconds:.2f} s"
    language = window.options.language or "en"
    return WindowResult(window, (Segment(0.0, window.seconds, text),), language)
