"""A job: what is to be done, how far it is, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

Json = Mapping[str, object]

BETWEEN = "~"  # It stands between a job's id and the event of a delivery; no caller's id has it.
MOST_DELIVERIES = 20  # A job's webhook is told of its end so often at most, retries not counted.
AFTER_CLIENT = "/"  # It ends the client's name in the store's id of a job; neither part has it.


class JobKind(StrEnum):
    """What a worker does with a job."""

    TRANSCRIPTION = "transcription"
    DELIVERY = "delivery"  # of a webhook that tells of a transcription's end


class JobState(StrEnum):
    """Where a job stands; from the last four it never moves again."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"  # its deadline passed before it was completed

    @property
    def has_ended(self) -> bool:
        return self not in {JobState.QUEUED, JobState.RUNNING}


@dataclass(frozen=True)
class Job:
    """A job as its store has it; all times are seconds since 1970."""

    id: str  # the store's: no two clients have the same one
    kind: JobKind
    request: Json  # what its worker needs, as JSON
    client: str = ""  # the name of the API key that it belongs to; "": there are no keys
    state: JobState = JobState.QUEUED
    priority: int = 0  # a job with a higher one is taken first
    created_at: float = 0.0
    due_at: float = 0.0  # it is not taken before
    deadline_at: float | None = None  # if it has not ended by then, it expires
    started_at: float | None = None  # of the last attempt
    ended_at: float | None = None
    owner: str | None = None  # the server that runs it, or has run it last
    attempt: int = 0  # how many times it has been taken; the first attempt is 1
    audio_seconds: float = 0.0  # of its audio, as far as it is known
    done_seconds: float = 0.0  # of its audio that are transcribed
    seconds_ahead: float | None = None  # of audio in the jobs before it, while it is queued
    result: Json | None = None  # of a completed job; None too where it was not asked for
    error: Json | None = None  # of a failed or expired job

    @property
    def public_id(self) -> str:
        """The id by which its client knows it."""
        return self.id.rpartition(AFTER_CLIENT)[2]


def store_id(client: str, public_id: str) -> str:
    """The id by which the store knows a client's job: two clients may choose the same one."""
    return f"{client}{AFTER_CLIENT}{public_id}" if client else public_id


def delivery_id(job_id: str, state: str, number: int) -> str:
    """The id of the `number`th delivery that tells how a job ended."""
    first = f"{job_id}{BETWEEN}{state}"
    return first if number == 1 else f"{first}{BETWEEN}{number}"


def delivery_ids(jobs: Iterable[Job]) -> list[str]:
    """The ids that deliveries of these jobs, which have ended, may have."""
    told = [job for job in jobs if job.request.get("webhook") is not None]
    numbers = range(1, MOST_DELIVERIES + 1)
    return [delivery_id(job.id, job.state, number) for job in told for number in numbers]


@dataclass(frozen=True)
class JobEvent:
    """Something that happened in an attempt at a job; events are numbered from 1 in each attempt.

    A job that is taken again begins anew, so the events of earlier attempts are dropped.
    """

    attempt: int
    number: int
    data: Json


@dataclass(frozen=True)
class Outcome:
    """What an attempt at a job came to.

    The state QUEUED puts the job back: it is taken again when it is due.
    """

    state: JobState
    result: Json | None = None
    error: Json | None = None
    due_at: float = 0.0  # where it is put back: it is not taken before
    followers: Sequence[Job] = field(default=())  # added in the same transaction
