"""Lets jobs expire and forgets old ones, with their files."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from asr.concurrency import Outage
from asr.errors import AsrError
from asr.jobs.attempt import result_file
from asr.jobs.job import Job, JobKind, JobState
from asr.jobs.service import JobPlace
from asr.jobs.submission import deliveries_of
from asr.jobs.worker import remove_upload
from asr.metrics import Metrics

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0  # A job expires so many seconds after its deadline at most.
SWEEP_SECONDS = 3600.0  # Files that no job has are looked for so often, and at the start.
ORPHAN_SECONDS = 86_400.0  # A file is left alone for a day: its job may be about to be added.
PAGE_JOBS = 500  # So many jobs are read at once.
MOST_COUNTED = 10_000  # The metric of queued jobs counts no further.


class Expiry:
    """Ends what is late, removes what is old, and counts what waits.

    Args:
        seconds: a job that has ended is kept so long.
        wake: tells the worker that a job may have ended.
    """

    def __init__(
        self, place: JobPlace, seconds: float, metrics: Metrics, wake: Callable[[], None]
    ) -> None:
        self._place = place
        self._seconds = seconds
        self._metrics = metrics
        self._wake = wake

    async def run(self) -> None:
        """Look again and again, until it is cancelled; no step holds up the others."""
        outage = Outage(log, "old jobs and their files stay", "old jobs are removed", (AsrError,))
        sweep_at = 0.0
        while True:
            with outage.survived("a look for late and old jobs"):
                await self.expire()
            with outage.survived("the count of jobs that wait"):
                await self.count()
            if time.monotonic() >= sweep_at:
                sweep_at = time.monotonic() + SWEEP_SECONDS
                with outage.survived("a look for files that no job has"):
                    await self.sweep()
            await asyncio.sleep(LOOK_SECONDS)

    async def expire(self) -> None:
        """Let late jobs expire, forget old ones, and remove the files of both."""
        before = time.time() - self._seconds
        gone = await self._place.store.expire(before, _expired)
        for job in gone:
            await remove_upload(self._place, job)
            if job.state is JobState.COMPLETED:
                await self._place.uploads.remove(result_file(job))
            if not job.state.has_ended:
                self._metrics.jobs_ended.labels(JobState.EXPIRED).inc()
                log.info("job %s has expired", job.id)
        if gone:
            self._wake()

    async def count(self) -> None:
        """Count the jobs that wait."""
        count, after = 0, None
        while count < MOST_COUNTED:
            page = await self._page({JobState.QUEUED}, after)
            count, after = count + len(page[0]), page[1]
            if after is None:
                break
        self._metrics.jobs_queued.set(count)

    async def sweep(self) -> None:
        """Remove old files that no job has any more."""
        old = set(await self._place.uploads.older(ORPHAN_SECONDS))
        results = {name for name in old if "-" in name}
        kept = results & set(await self._place.uploads.older(ORPHAN_SECONDS + self._seconds))
        orphans = (old - results) | kept
        after = None
        while orphans:
            jobs, after = await self._page({JobState.QUEUED, JobState.RUNNING}, after)
            orphans -= {_upload(job) for job in jobs}
            if after is None:
                break
        for name in orphans:
            await self._place.uploads.remove(name)
        if orphans:
            log.info("%d files that no job has were removed", len(orphans))

    async def _page(self, states: set[JobState], after: str | None) -> tuple[list[Job], str | None]:
        store = self._place.store
        page = await store.page(JobKind.TRANSCRIPTION, None, states, after, PAGE_JOBS)
        return list(page.jobs), page.after


def _expired(job: Job) -> list[Job]:
    return list(deliveries_of(job, JobState.EXPIRED))


def _upload(job: Job) -> str:
    audio = job.request.get("audio")
    return str(audio.get("upload", "")) if isinstance(audio, Mapping) else ""
