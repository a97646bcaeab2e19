"""How much of the engine and of the memory jobs may have: what interactive requests leave."""

from __future__ import annotations

import math

from asr.pcm import SAMPLE_RATE
from asr.transcription.admission.ledger import SHORT_SHARE, AudioLedger

SHARE = 0.25  # Windows of jobs hold this share of the engine: a batch full of them slows a clip.
PATIENCE_SECONDS = 10.0  # While others never leave the engine, a job's window enters so rarely.
JOB_SECONDS = 90.0  # A job holds about so many seconds of decoded audio, at least.
SLOT_SECONDS = 400.0  # Jobs together hold at most so many for each of their windows in the engine.
MEMORY_SHARE = 0.125  # Where memory is scarce, they hold this share of what others may.


class JobLane:
    """The lane of jobs, below all others; it never takes room from interactive requests.

    Args:
        capacity: windows that the engine can hold.
        share: of them for windows of jobs.
        memory_seconds: of audio that interactive requests have memory for.
    """

    def __init__(self, capacity: int, share: float, memory_seconds: float = math.inf) -> None:
        self.most_windows = max(1, int(capacity * share))
        limit = min(SLOT_SECONDS * self.most_windows, MEMORY_SHARE * memory_seconds)
        self.most_jobs = max(1, int(limit * (1 - SHORT_SHARE) / JOB_SECONDS))
        self.ledger = AudioLedger(round(limit * SAMPLE_RATE))
        self._entered_at = -math.inf

    def may_enter(self, inside: int, others_inside: int, now: float) -> bool:
        """Whether one more window of a job may enter the engine; nobody else waits for it.

        While windows of interactive requests are in the engine, encoding one more would hold
        them up. Where they never leave it, jobs go on nevertheless, slowly.

        Args:
            inside: windows of jobs in the engine.
            others_inside: all other windows there.
            now: seconds of the monotonic clock.
        """
        if inside >= self.most_windows:
            return False
        if others_inside and now - self._entered_at < PATIENCE_SECONDS:
            return False
        self._entered_at = now
        return True
