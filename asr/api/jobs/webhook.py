"""What the webhook of one of the service's own jobs says."""

from __future__ import annotations

import json
from collections.abc import Mapping

from asr.api.asr_answer import format_of, formatted
from asr.capabilities import NO_CUDA, EngineInfo
from asr.jobs.job import Job
from asr.jobs.requests import options_from_json
from asr.jobs.webhooks.message import envelope
from asr.transcript import Transcript

NO_NAMES = EngineInfo("", "", NO_CUDA, "")  # Languages are told by their codes alone.


def body(job: Job, transcript: Transcript | None) -> Mapping[str, object]:
    """The envelope of Standard Webhooks, with the result as `response_format` asks for it."""
    return envelope(
        job,
        {
            "id": job.id,
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
