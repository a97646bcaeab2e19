"""Make schedulers that feed a test's engine and end with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest

from asr.engines.engine import Window
from asr.metrics import Metrics
from asr.transcription.admission.scheduled_window import ScheduledWindow
from asr.transcription.scheduled_request import ScheduledRequest
from asr.transcription.scheduler import Scheduler
from tests.conftest import RATE
from tests.support.fake_engine import FakeEngine


def window(seconds: float = 1.0) -> Window:
    return Window(np.zeros(round(seconds * RATE), np.float32), 0.0)


def decoded(request: ScheduledRequest, seconds: float) -> ScheduledWindow:
    """Let `request` decode, cut and submit one window; return it."""
    whole = window(seconds)
    request.hold(len(whole.samples))
    request.cut(whole, uncut=0)
    return request.submit(whole)


@pytest.fixture
async def make_scheduler() -> AsyncIterator[Callable[..., Scheduler]]:
    running: list[tuple[Scheduler, FakeEngine]] = []

    def make(engine: FakeEngine, max_queue_seconds: float = 7200.0) -> Scheduler:
        scheduler = Scheduler(engine, max_queue_seconds, Metrics())
        scheduler.start()
        running.append((scheduler, engine))
        return scheduler

    yield make
    for scheduler, engine in running:
        engine.gate.set()
        await scheduler.stop()
