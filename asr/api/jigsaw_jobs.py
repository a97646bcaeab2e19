"""Jobs of JigsawStack's two APIs: their audio is kept, and their end is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asr.audio.streams import Source
from asr.errors import AsrError
from asr.http.bodies.json_object import DataUri
from asr.jobs.job import Job, JobState
from asr.options import Timestamps

CANCELLED = "the task was cancelled"
CANCELLED_STATUS = 409  # Who waits for a job that is cancelled gets this status.


@dataclass(frozen=True)
class RequestAudio:
    """The audio of a request, to be transcribed now or by a job."""

    source: Source
    url: str | DataUri | None = None  # None: the request's body has it

    @property
    def for_a_job(self) -> Source | str | DataUri:
        """Its URL, where it has one, or its bytes."""
        return self.source if self.url is None else self.url


def timestamps_of(job: Job) -> Timestamps:
    """What chunks a job's output has."""
    options: Any = job.request["options"]
    timestamps: Timestamps = options.get("timestamps", "segment")
    return timestamps


def reason_of(job: Job) -> str:
    """Why a job that has ended has no output."""
    if job.state is JobState.CANCELLED:
        return CANCELLED
    return str((job.error or {}).get("message", f"the job is {job.state}"))


class TaskFailed(AsrError):
    """A job that somebody waits for has ended without a transcript."""

    def __init__(self, job: Job) -> None:
        super().__init__(reason_of(job))
        error = job.error or {}
        is_cancelled = job.state is JobState.CANCELLED
        self.status = CANCELLED_STATUS if is_cancelled else int(str(error.get("status", 500)))
        self.code = str(error.get("code", job.state))
