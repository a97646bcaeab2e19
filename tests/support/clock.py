"""Time that passes when a test says so."""

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
    """The process's clock, which the event loop goes by too: it runs on, and leaps."""
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    return clock
