"""A Whisper engine that keeps every attempt of the temperature fallback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from asr.engines.engine import Window, WindowResult
from asr.engines.whisper.batch import Row
from asr.engines.whisper.result import Attempt, PendingResult
from asr.options import Thresholds
from tests.support.models import (
    INFO,
    Caller,
    RecordingEngine,
    plan,
)
from tests.support.twins import Twins

IMPOSSIBLE = Thresholds(avg_logprob=0.0)


class DraftingEngine(RecordingEngine):
    """Keeps all that was written of each window."""

    def __init__(self, twins: Twins, **changes: Any) -> None:
        self.drafts: dict[Window, list[Attempt]] = {}
        super().__init__(twins.checkpoint, plan(twins.checkpoint, **changes), INFO)

    def _final(self, row: Row, drafts: Sequence[Attempt], window: Window) -> PendingResult:
        self.drafts[window] = list(drafts)
        return super()._final(row, drafts, window)

    def transcribe(self, asked: Sequence[Window]) -> list[WindowResult]:
        caller = Caller(self)
        caller.run(asked)
        assert self._flight.free == self.capacity
        assert not self._drafts
        return [caller.finals[window] for window in asked]


def with_thresholds(asked: Sequence[Window], thresholds: Thresholds = IMPOSSIBLE) -> list[Window]:
    return [replace(w, options=replace(w.options, thresholds=thresholds)) for w in asked]
