"""What Insanely Fast Whisper's API says of a task: in answers, and to its webhook."""

from __future__ import annotations

from asr.api.jigsaw_jobs import reason_of, timestamps_of
from asr.formats.pipeline_json import Json, pipeline_json
from asr.jobs.job import Job, JobState
from asr.transcript import Transcript

NAME = "insanely_fast"  # Tasks are kept under this name of their dialect.
IS_ASYNC, MACHINE = "is_async", "fly_machine_id"  # A task keeps these, besides what is asked.


def processing(job: Job) -> Json:
    """The answer to a task that goes on in the background."""
    return {
        "detail": "Task is being processed in the background",
        "status": "processing",
        "task_id": job.public_id,
        **machine(job),
    }


def known(job: Job) -> Json:
    """The answer to a task that was sent before, and has ended since."""
    return {
        "detail": f"Task has ended: GET /status/{job.public_id} has the result",
        "status": _status(job),
        "task_id": job.public_id,
        **machine(job),
    }


def status(job: Job, transcript: Transcript | None) -> Json:
    """Where a task stands, and its output if it has one."""
    if not job.state.has_ended:
        return {"status": "processing"}
    if job.state is JobState.CANCELLED:
        return {"status": "cancelled"}
    return {"status": _status(job), **_outcome(job, transcript)}


def webhook_body(job: Job, transcript: Transcript | None) -> Json:
    """What the webhook of a task is told; of a cancelled one, too, which the original forgot."""
    outcome = _outcome(job, transcript)
    return {**outcome, "status": _status(job), "task_id": job.public_id, **machine(job)}


def machine(job: Job) -> Json:
    """The machine on Fly.io that took the task, where there is one."""
    extra = job.request["extra"]
    assert isinstance(extra, dict)
    return {MACHINE: extra[MACHINE]} if extra.get(MACHINE) else {}


def is_background(job: Job) -> bool:
    """Whether no request waits for the task."""
    extra = job.request["extra"]
    assert isinstance(extra, dict)
    return bool(extra.get(IS_ASYNC, True))


def _status(job: Job) -> str:
    if job.state in {JobState.COMPLETED, JobState.CANCELLED}:
        return str(job.state)
    return "error" if job.state.has_ended else "processing"


def _outcome(job: Job, transcript: Transcript | None) -> Json:
    if transcript is None:
        return {"error": reason_of(job)}
    return {"output": pipeline_json(transcript, timestamps_of(job))}
