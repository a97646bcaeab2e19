"""Tells of a job: its state, how far it is, its text so far and what its webhook was told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field

from asr.http.app_keys import JOBS, SCHEDULER
from asr.jobs.job import Job, JobState
from asr.jobs.webhooks.message import iso
from asr.jobs.webhooks.runner import attempts_of
from asr.outbound.fetch import shown


class JobProgress(BaseModel):
    """How far a job is."""

    done: float = Field(description="Seconds of audio that are transcribed", examples=[600.0])
    total: float = Field(
        description="Seconds of audio, as far as they are known; before it runs, an estimate",
        examples=[1200.0],
    )


class Delivery(BaseModel):
    """A delivery of the job's webhook, with its attempts."""

    id: str
    state: JobState
    attempts: list[dict[str, Any]] = Field(description="When, with which status, and why")


class JobSummary(BaseModel):
    """A job as it stands."""

    id: str = Field(examples=["0f8b6f4a0f9e4c0a9a3c4f6f5e1d2c3b"])
    state: JobState
    priority: int
    position: float | None = Field(description="Seconds of audio in queued jobs before this one")
    estimated_wait_s: float | None = Field(
        description="Seconds until it begins, at the engine's pace; null where that is unknown"
    )
    progress: JobProgress
    attempt: int = Field(description="How many times it was begun; a server may end in mid-job")
    created_at: str
    started_at: str | None
    ended_at: str | None
    deadline_at: str | None
    error: dict[str, Any] | None = Field(
        description="Of a job that failed or has expired: `message`, `code` and `status`"
    )
    webhook: str | None = Field(
        description="The server that is told of its end; path and query may be secrets",
        examples=["https://example.com/…"],
    )


class JobAnswer(JobSummary):
    """A job as it stands, its text so far, and the deliveries of its webhook."""

    text: str = Field(description="The text so far, or the whole text of a completed job")
    deliveries: list[Delivery]


async def job_answer(request: web.Request, job: Job, with_text: bool = True) -> JobAnswer:
    """A job with all that is known of it."""
    jobs = request.app[JOBS]
    text = await jobs.text(job) if with_text else ""
    deliveries = await jobs.deliveries(job.public_id, job.client) if _has_deliveries(job) else []
    found = [
        Delivery(id=each.public_id, state=each.state, attempts=_plain(attempts_of(each)))
        for each in deliveries
    ]
    return JobAnswer(**job_summary(request, job).model_dump(), text=text, deliveries=found)


def job_summary(request: web.Request, job: Job) -> JobSummary:
    """A job without its text."""
    pace, ahead = request.app[SCHEDULER].pace, job.seconds_ahead
    webhook = job.request.get("webhook")
    return JobSummary(
        id=job.public_id,
        state=job.state,
        priority=job.priority,
        position=None if ahead is None else round(ahead, 3),
        estimated_wait_s=None if ahead is None or not pace else round(ahead / pace, 1),
        progress=JobProgress(done=job.done_seconds, total=job.audio_seconds),
        attempt=job.attempt,
        created_at=iso(job.created_at),
        started_at=_time(job.started_at),
        ended_at=_time(job.ended_at),
        deadline_at=_time(job.deadline_at),
        error=None if job.error is None else dict(job.error),
        webhook=shown(str(webhook["url"])) if isinstance(webhook, Mapping) else None,
    )


def _has_deliveries(job: Job) -> bool:
    return job.state.has_ended and job.request.get("webhook") is not None


def _plain(attempts: Sequence[Mapping[str, object]]) -> list[dict[str, Any]]:
    return [dict(each) for each in attempts]


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else iso(seconds)
