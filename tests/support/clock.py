"""Give a test a clock that it can move forward."""

from __future__ import annotations

import time

import pytest


class Clock:
    def __init__(self) -> None:
        self._running = time.monotonic
        self._ahead = 0.0

    def monotonic(self) -> float:
        return self._running() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the process's clock with one that a test can move forward.

    It also runs on by itself. The event loop goes by it, too.
    """
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    return clock
