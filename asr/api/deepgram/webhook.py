"""What the `callback` of a request is told: the answer, or why there is none."""

from __future__ import annotations

from typing import Any

from asr.api.deepgram.answer import answer
from asr.api.deepgram.problem import failure_json
from asr.api.deepgram.schemas import AnswerDetails
from asr.http.openapi import Json
from asr.jobs.job import Job
from asr.transcript import Transcript

NAME = "deepgram"  # Jobs are kept under this name of their dialect.
DETAILS = "details"  # A job keeps this, besides what is asked.


def webhook_body(job: Job, transcript: Transcript | None) -> Json:
    """The answer to a job's request; of a job without a transcript, a failure's JSON."""
    if transcript is None:
        error = job.error or {}
        status, code = int(str(error.get("status", 500))), str(error.get("code", job.state))
        message = str(error.get("message", f"the request is {job.state}"))
        return failure_json(status, code, message, job.public_id)
    extra: Any = job.request["extra"]
    return answer(transcript, AnswerDetails.model_validate(extra[DETAILS]), job.public_id)
