"""The contract of a job store, which keeps jobs and hands each to one worker at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from asr.jobs.job import Job, JobEvent, JobKind, JobState, Json, Outcome

EXPIRE_JOBS = 500  # At most so many jobs expire, and so many are forgotten, in one call.


@dataclass(frozen=True)
class Page:
    """A part of a list of jobs, newest first, without their results."""

    jobs: tuple[Job, ...]
    after: str | None  # the id to continue after; None: these are the last


class JobStore(Protocol):
    """Keeps jobs durably; the one truth about each.

    A job is taken by an owner with an attempt number. What that attempt reports is dropped, and
    answered False, as soon as the job has been cancelled, has expired or was taken by another.

    Every method may raise StoreUnavailable, after a few seconds at most, and none blocks the
    event loop.
    """

    async def add(self, job: Job) -> Job:
        """Keep a new job; where its id is known, change nothing and return the job of that id."""

    async def get(self, job_id: str, with_result: bool = False) -> Job | None:
        """The job of an id, with the seconds of audio ahead of it while it is queued."""

    async def page(
        self,
        kind: JobKind,
        client: str | None,
        states: Collection[JobState],
        after: str | None,
        limit: int,
    ) -> Page:
        """Jobs of a kind, newest first, from the one after the id `after` on.

        Args:
            client: only this one's jobs; None: everybody's.
            states: only jobs in these; none: in all.
        """

    async def events(self, job_id: str, attempt: int, after: int) -> Sequence[JobEvent]:
        """The events of the newest attempt: those above `after`, or all if `attempt` is older."""

    async def take(self, owner: str, kind: JobKind, excluded: Collection[str]) -> Job | None:
        """Take the next job that is due: RUNNING, with `owner` and the next attempt number.

        Higher priorities first, then in the order of creation; none whose deadline has passed.
        Also one that ran on a server which has died.

        Args:
            excluded: clients whose jobs are not taken now.
        """

    async def beat(self, owner: str) -> set[str]:
        """Report that `owner` is alive; return the ids of all jobs that it still has to run.

        A job of its own that is missing was cancelled, has expired or was taken by another.
        """

    async def progress(
        self, job: Job, done_seconds: float, audio_seconds: float, events: Sequence[Json]
    ) -> bool:
        """Note how far the attempt `job` is, and append its events; False if it has been lost."""

    async def finish(self, job: Job, outcome: Outcome) -> bool:
        """End the attempt `job`, and add the followers; False, and no change, if it was lost."""

    async def cancel(self, job_id: str, followers: Sequence[Job] = ()) -> Job | None:
        """End a job as CANCELLED unless it has ended, and add the followers if it had not.

        Returns:
            The job as it was before; None where there is none.
        """

    async def expire(
        self, ended_before: float, followers: Callable[[Job], Sequence[Job]]
    ) -> Sequence[Job]:
        """Let the jobs expire whose deadline has passed, and forget those that ended before.

        Only EXPIRE_JOBS of each: what is left waits for the next call.

        Args:
            ended_before: jobs that ended earlier than this are forgotten, with their results and
                their deliveries, which would be taken for those of a new job of the same id.
            followers: the jobs to be added in the same transaction, for each that expires.

        Returns:
            The jobs that this call let expire, and those that it forgot: their uploads can go.
        """
