"""Run a Whisper engine that keeps every attempt of the temperature fallback."""

from __future__ import annotations

from collections import abc
from dataclasses import replace
from typing import Any

from asr.engines.engine import Window, WindowResult
from asr.engines.whisper.decoding.attempt import Attempt
from asr.engines.whisper.result import PendingResult
from asr.engines.whisper.sequence import Sequence
from asr.options import Thresholds
from tests.support.models import (
    INFO,
    Caller,
    RecordingEngine,
    plan,
)
from tests.support.twins import Twins

# No text reaches this mean logprob: every window goes through the whole fallback.
IMPOSSIBLE = Thresholds(avg_logprob=0.0)


class DraftingEngine(RecordingEngine):
    """Keeps all attempts to decode each window."""

    def __init__(self, twins: Twins, **changes: Any) -> None:
        self.attempts: dict[Window, list[Attempt]] = {}
        super().__init__(twins.checkpoint, plan(twins.checkpoint, **changes), INFO)

    def _final(self, sequence: Sequence) -> PendingResult:
        self.attempts[sequence.window] = list(sequence.attempts)
        return super()._final(sequence)

    def transcribe(self, windows: abc.Sequence[Window]) -> list[WindowResult]:
        caller = Caller(self)
        caller.run(windows)
        assert self._batch.free == self.capacity
        assert not self._sequences
        return [caller.finals[window] for window in windows]


def with_thresholds(
    windows: abc.Sequence[Window], thresholds: Thresholds = IMPOSSIBLE
) -> list[Window]:
    return [replace(w, options=replace(w.options, thresholds=thresholds)) for w in windows]
