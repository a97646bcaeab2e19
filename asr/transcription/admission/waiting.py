"""The requests whose windows wait for the engine, and which of them enter it next."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator

from asr.transcription.admission.job_lane import JobLane
from asr.transcription.admission.scheduled_window import ScheduledWindow
from asr.transcription.admission.turns import Rank, Turns
from asr.transcription.scheduled_request import ScheduledRequest

FIRST_SECONDS = 30.0  # So much audio of each request goes before what is later in others.


class WaitingRequests:
    """Keeps requests with waiting windows in turn; guarded by the scheduler's lock."""

    def __init__(self, jobs: JobLane) -> None:
        self._jobs = jobs
        self._turns: Turns[ScheduledRequest] = Turns()

    def __bool__(self) -> bool:
        return bool(self._turns)

    def __iter__(self) -> Iterator[ScheduledRequest]:
        """Those who wait, in no order of their turns."""
        return iter(self._turns)

    def add(self, request: ScheduledRequest, pending: ScheduledWindow) -> None:
        """Let one more window of `request` wait."""
        request.waiting.append(pending)
        if len(request.waiting) == 1:
            self._add_turn(request)

    def clear(self, request: ScheduledRequest) -> None:
        """Let no window of `request` wait any more."""
        if request.waiting:
            request.waiting.clear()
            self._turns.remove(request)

    def take(
        self, count: int, with_live: int, inside: Collection[ScheduledRequest]
    ) -> list[tuple[ScheduledRequest, ScheduledWindow]]:
        """Take out at most `count` windows in turn, each with its request.

        Args:
            count: windows that the engine has room for.
            with_live: likewise, where those beyond `count` are live ones.
            inside: the request of each window that the engine holds.
        """
        taken: list[tuple[ScheduledRequest, ScheduledWindow]] = []
        now = time.monotonic()
        jobs, others = sum(each.is_job for each in inside), sum(not each.is_job for each in inside)
        while self._turns and len(taken) < with_live:
            if len(taken) >= count and not self._turns.has_live:
                break
            if self._turns.only_jobs and not self._jobs.may_enter(jobs, others, now):
                break
            request = self._turns.next() if len(taken) < count else self._turns.next_live()
            pending = request.waiting.popleft()
            request.attained += pending.window.seconds
            if request.waiting:
                self._add_turn(request)
            pending.admitted_at = now
            taken.append((request, pending))
            jobs, others = jobs + request.is_job, others + (not request.is_job)
        return taken

    def _add_turn(self, request: ScheduledRequest) -> None:
        self._turns.add(request, _rank(request))


def _rank(request: ScheduledRequest) -> Rank:
    if request.is_live:
        return Rank.LIVE if request.is_urgent else Rank.LATER_WORDS
    if request.is_job:
        return Rank.JOB
    return Rank.FIRST_WORDS if request.attained < FIRST_SECONDS else Rank.LATER_WORDS
