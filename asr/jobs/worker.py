"""Takes jobs from the store, as many as the engine has room for, and runs them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from asr.concurrency import Outage
from asr.errors import StoreUnavailable
from asr.jobs.attempt import JobAttempt, JobMeans
from asr.jobs.job import Job, JobKind, JobState, Outcome
from asr.jobs.service import JobPlace
from asr.metrics import Metrics
from asr.transcription.scheduler import Scheduler

log = logging.getLogger(__name__)

BEAT_SECONDS = 0.25  # A job that is cancelled leaves the engine after so many seconds at most.
LEAVE_SECONDS = 10.0  # A thread of such a job that hangs for so long is left behind.
TAKE_SECONDS = 1.0  # Other servers' jobs, and those that become due, are looked for so often.
TELL_SECONDS = 1.0  # The store is told of progress at most so often.
RETRY_SECONDS = 0.5  # While the store is away, an outcome is told again after so many seconds,
LONGEST_RETRY_SECONDS = 8.0  # each time after twice as many, up to these.
STOP_SECONDS = 5.0  # When the process ends, jobs are put back within so many seconds or not at all.


@dataclass
class Running:
    """An attempt that this worker runs."""

    attempt: JobAttempt
    task: asyncio.Task[None] | None = None
    is_finishing: bool = False  # Its outcome is on its way to the store.
    left_at: float | None = None  # by time.monotonic: when it was cancelled, as its job is lost

    @property
    def is_lost(self) -> bool:
        """Whether the job was cancelled, has expired or was taken by another server."""
        return self.left_at is not None

    def leave(self) -> None:
        """Cancel the attempt, whose job is lost.

        Its threads have the time to end, but not for ever: a disk may hang.
        """
        now = time.monotonic()
        if self.task is not None and (self.left_at is None or now - self.left_at > LEAVE_SECONDS):
            self.left_at = now
            self.task.cancel()


@dataclass(frozen=True)
class WorkerLimits:
    """How many jobs a worker runs at once."""

    most: int  # together; one is the least
    # Of the clients of all jobs that run here, those who may have no more.
    busy: Callable[[Iterable[str]], Collection[str]] = lambda _: ()


class Worker:
    """Takes jobs from the store and runs them; one for each process.

    Args:
        tell_end: tells whoever delivers webhooks that a job has ended.
    """

    def __init__(
        self,
        place: JobPlace,
        scheduler: Scheduler,
        means: JobMeans,
        metrics: Metrics,
        limits: WorkerLimits,
        tell_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._place = place
        self._scheduler = scheduler
        self._means = means
        self._metrics = metrics
        self._limits = limits
        self._tell_end = tell_end
        self._owner = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._running: dict[str, Running] = {}  # by the job's id
        self._strays: set[str] | None = None  # jobs of ours that nobody runs; None: there are none
        self._news = asyncio.Event()
        self._cancelled = asyncio.Event()
        self._one_ended = asyncio.Event()
        self._is_draining = False
        self._outage = Outage(
            log,
            "the job store is away, running jobs go on",
            "the job store is back",
            (StoreUnavailable,),
        )
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        loops = (self._take_jobs(), self._beat())
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    def wake(self) -> None:
        """Look for new jobs, and for cancelled ones, at once."""
        self._news.set()
        self._cancelled.set()

    async def drain(self, seconds: float) -> None:
        """Take no more jobs, and wait at most `seconds` for those that run."""
        self._is_draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._running:
                    self._one_ended.clear()
                    await self._one_ended.wait()

    async def stop(self) -> None:
        """Put the jobs back that still run, so that another server takes them at once."""
        self._is_draining = True
        attempts = [each.task for each in self._running.values() if each.task is not None]
        for task in (*self._tasks, *attempts):
            task.cancel()
        if tasks := {*self._tasks, *attempts}:
            await asyncio.wait(tasks, timeout=STOP_SECONDS)

    # --- taking ---

    async def _take_jobs(self) -> None:
        while True:
            self._news.clear()
            with self._outage.survived("a look for jobs"):
                await self._take_all()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TAKE_SECONDS):
                    await self._news.wait()

    async def _take_all(self) -> None:
        while self._has_room():
            try:
                busy = self._limits.busy(each.attempt.job.client for each in self._running.values())
                job = await self._place.store.take(self._owner, JobKind.TRANSCRIPTION, busy)
            except Exception:
                self._strays = self._strays or set()  # it may have been taken nevertheless
                raise
            if job is None:
                return
            self._begin(job)

    def _has_room(self) -> bool:
        """Whether the engine would take windows of one job more."""
        if self._is_draining or self._scheduler.failure is not None:
            return False
        if len(self._running) >= self._limits.most:
            return False
        beginning = sum(not each.attempt.has_begun for each in self._running.values())
        return not self._running or self._scheduler.missing_job_windows > beginning

    def _begin(self, job: Job) -> None:
        running = Running(JobAttempt(job, self._place, self._means))
        self._running[job.id] = running
        self._metrics.jobs_running.set(len(self._running))
        self._metrics.jobs_attempts.inc()
        if job.attempt == 1:
            self._metrics.jobs_wait_seconds.observe(max(0.0, time.time() - job.created_at))
        running.task = asyncio.create_task(self._run(running))

    # --- running ---

    async def _run(self, running: Running) -> None:
        attempt = running.attempt
        telling = asyncio.create_task(self._tell(running))
        try:
            outcome = await attempt.outcome()
            telling.cancel()
            await self._finish(running, outcome)
        except asyncio.CancelledError:
            if running.is_lost:
                log.info("job %s is not this server's any more", attempt.job.id)
            elif not running.is_finishing:
                await self._put_back(attempt.job)
            raise
        except Exception:  # the boundary: one job's failure ends no other, and the next try is new
            log.exception("job %s cannot be ended now: it is put back", attempt.job.id)
            self._strays = self._strays or set()
        finally:
            telling.cancel()
            del self._running[attempt.job.id]
            self._metrics.jobs_running.set(len(self._running))
            self._one_ended.set()
            self._news.set()

    async def _tell(self, running: Running) -> None:
        while True:
            await asyncio.sleep(TELL_SECONDS)
            with self._outage.survived("the report of a job's progress"):
                await running.attempt.progress.tell()

    async def _finish(self, running: Running, outcome: Outcome) -> None:
        """Tell the store the last progress and the outcome, however long it is away."""
        running.is_finishing = True
        attempt, job = running.attempt, running.attempt.job
        is_ours = await self._until_it_answers(attempt.progress.tell)
        if is_ours:
            is_ours = await self._until_it_answers(lambda: self._finished(job, outcome))
        if not is_ours:
            log.info("job %s is not this server's any more: its result is dropped", job.id)
            await attempt.discard(outcome)
        elif outcome.state.has_ended:
            self._tell_end()
            self._metrics.jobs_ended.labels(outcome.state).inc()
            log.info(
                "job %s: %s, %.1f s of audio, attempt %d, %.1f s since its submission",
                job.id,
                outcome.state,
                attempt.progress.seconds[1],
                job.attempt,
                time.time() - job.created_at,
            )
            await remove_upload(self._place, job)

    async def _finished(self, job: Job, outcome: Outcome) -> bool:
        """Whether the outcome counts; it may have been kept before, without an answer."""
        store = self._place.store
        if await store.finish(job, outcome):
            return True
        found = await store.get(job.id)
        return (
            found is not None
            and (found.owner, found.attempt) == (job.owner, job.attempt)
            and found.state is outcome.state
        )

    async def _put_back(self, job: Job) -> None:
        """Let another server take the job; what does not answer in time is found by its beats."""
        with contextlib.suppress(StoreUnavailable):
            await self._place.store.finish(job, Outcome(JobState.QUEUED))
            log.info("job %s is put back", job.id)

    # --- what is ours ---

    async def _beat(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._cancelled.wait()
            self._cancelled.clear()
            if self._running or self._strays is not None:
                with self._outage.survived("a look at the jobs that run"):
                    await self._leave_lost()

    async def _leave_lost(self) -> None:
        before = dict(self._running)
        owned = await self._place.store.beat(self._owner)
        for job_id, running in before.items():
            has_ended = self._running.get(job_id) is not running
            if job_id not in owned and not has_ended and not running.is_finishing:
                running.leave()
        if self._strays is not None:
            await self._put_strays_back(owned - self._running.keys())

    async def _put_strays_back(self, found: set[str]) -> None:
        """Put back what the store gave us without our knowing, once it was seen twice."""
        assert self._strays is not None
        for job_id in found & self._strays:
            job = await self._place.store.get(job_id)
            if job is not None and job.owner == self._owner and job.kind is JobKind.TRANSCRIPTION:
                await self._put_back(job)
        self._strays = found or None

    # --- the store ---

    async def _until_it_answers(self, call: Callable[[], Awaitable[bool]]) -> bool:
        pause = RETRY_SECONDS
        while True:
            try:
                return await call()
            except StoreUnavailable:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_RETRY_SECONDS)


async def remove_upload(place: JobPlace, job: Job) -> None:
    """Remove the audio that was kept for a job that has ended; a failure is logged."""
    audio = job.request.get("audio")
    name = audio.get("upload") if isinstance(audio, Mapping) else None
    if name is None:
        return
    try:
        await place.uploads.remove(name)
    except Exception as error:  # the boundary: it is removed by the next sweep
        log.warning("the upload of job %s cannot be removed now: %s", job.id, error)
