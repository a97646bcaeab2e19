"""What the webhook of an asynchronous prediction is told, in Baseten's shape."""

from __future__ import annotations

from asr.api.jigsaw_jobs import reason_of, timestamps_of
from asr.formats.pipeline_json import Json, pipeline_json
from asr.jobs.job import Job
from asr.jobs.webhooks.message import iso
from asr.transcript import Transcript

NAME = "truss"  # Predictions are kept under this name of their dialect.
MODEL = "model_id"  # A prediction keeps this, besides what is asked.
DEPLOYMENT = "production"  # There is only one.


def webhook_body(job: Job, transcript: Transcript | None) -> Json:
    """The output as `data`; of a failure what `/predict` would answer, and the error beside it."""
    extra = job.request["extra"]
    assert isinstance(extra, dict)
    errors: list[Json] = []
    if transcript is None:
        reason = reason_of(job)
        data: Json = {"error": True, "detail": reason}
        errors = [{"code": str((job.error or {}).get("code", job.state)), "message": reason}]
    else:
        data = pipeline_json(transcript, timestamps_of(job))
    return {
        "request_id": job.public_id,
        "model_id": extra.get(MODEL, ""),
        "deployment_id": DEPLOYMENT,
        "type": "async_request_completed",
        "time": iso(job.ended_at or 0.0),
        "data": data,
        "errors": errors,
    }
