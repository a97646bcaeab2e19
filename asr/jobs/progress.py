"""How far an attempt at a job is, told to the store bit by bit, each event once."""

from __future__ import annotations

import asyncio

from asr.jobs.job import Job, Json
from asr.jobs.store import JobStore
from asr.jobs.submission import MOST_SECONDS
from asr.transcription.scheduled_request import Timings


class Progress:
    """What is new of one attempt since the store was told last.

    Args:
        timings: of its transcription, which go on meanwhile.
    """

    def __init__(self, store: JobStore, job: Job, timings: Timings) -> None:
        self._store = store
        self._job = job
        self._timings = timings
        self._events: list[Json] = []
        self._kept = 0  # events that the store has
        self._told = (0.0, 0.0)
        self._is_uncertain = False  # The store may have kept what it did not answer.
        self._turn = asyncio.Lock()

    def add(self, event: Json) -> None:
        self._events.append(event)

    def complete(self) -> None:
        """Count all of the audio as transcribed."""
        self._timings.declared = self._timings.done = self._timings.audio
        if self._timings.diarized is not None:
            self._timings.diarized = self._timings.audio

    @property
    def seconds(self) -> tuple[float, float]:
        """Seconds of the audio that are done, and all that are known of.

        Where it is asked who speaks, what waits for the diarizer is not done.
        """
        timings = self._timings
        done = timings.done if timings.diarized is None else min(timings.done, timings.diarized)
        declared = min(timings.declared or 0.0, MOST_SECONDS)
        before = 0.0 if timings.audio else self._job.audio_seconds
        return round(done, 3), round(max(before, declared, timings.audio), 3)

    async def tell(self) -> bool:
        """Tell the store what is new; return whether the job is still this attempt's.

        Raises:
            StoreUnavailable: it is told the next time.
        """
        async with self._turn:
            if self._is_uncertain:
                await self._forget_kept()
            seconds, events = self.seconds, list(self._events)
            if not events and seconds == self._told:
                return True
            self._is_uncertain = True
            is_ours = await self._store.progress(self._job, *seconds, events)
            self._is_uncertain = False
            self._kept += len(events)
            del self._events[: len(events)]
            self._told = seconds
            return is_ours

    async def _forget_kept(self) -> None:
        """Drop the events that the store has kept although it did not answer."""
        job = self._job
        found = await self._store.events(job.id, job.attempt, self._kept)
        kept = sum(event.attempt == job.attempt for event in found)
        self._kept += kept
        del self._events[:kept]
        self._is_uncertain = False
