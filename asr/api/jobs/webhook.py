"""What the webhook of one of the service's own jobs says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

from asr.api.asr_answer import format_of, formatted
from asr.capabilities import NO_CUDA, EngineInfo
from asr.jobs.job import Job
from asr.jobs.requests import options_from_json
from asr.jobs.webhooks.message import envelope
from asr.transcript import Transcript

NO_NAMES = EngineInfo("", "", NO_CUDA, "")  # Languages are told by their codes alone.


class EndedJob(BaseModel):
    """A job that has ended, with its result."""

    id: str
    state: Literal["completed", "failed", "cancelled", "expired"]
    seconds: float = Field(description="Seconds of audio, as far as they are known")
    attempt: int = Field(description="How many times it was begun")
    error: dict[str, Any] | None = Field(
        description="Of a job that failed or has expired: `message`, `code` and `status`"
    )
    result: dict[str, Any] | str | None = Field(
        description="Of a completed job, as its `response_format`: an object or a text"
    )


class JobEnded(BaseModel):
    """The envelope of Standard Webhooks around a job that has ended."""

    type: Literal["job.completed", "job.failed", "job.cancelled", "job.expired"]
    timestamp: str = Field(description="When the job ended", examples=["2026-11-29T12:00:00.000Z"])
    data: EndedJob


def body(job: Job, transcript: Transcript | None) -> Mapping[str, object]:
    """The envelope of Standard Webhooks, with the result as `response_format` asks for it."""
    return envelope(
        job,
        {
            "id": job.public_id,
            "state": job.state,
            "seconds": job.audio_seconds,
            "attempt": job.attempt,
            "error": job.error,
            "result": None if transcript is None else _result(job, transcript),
        },
    )


def _result(job: Job, transcript: Transcript) -> object:
    options = options_from_json(job.request["options"])
    kind, text = formatted(transcript, format_of(job), options, NO_NAMES)
    return json.loads(text) if kind == "application/json" else text
