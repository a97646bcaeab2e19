"""A job as a row of a table, and a row as a job; JSON is kept as text."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from asr.jobs.job import Job, JobEvent, JobKind, JobState, Json

COLUMNS = (  # All but the result, which may have megabytes.
    "id, kind, client, state, priority, created_at, due_at, deadline_at, started_at, ended_at, "
    "owner, attempt, audio_seconds, done_seconds, request, error"
)
NAMES = COLUMNS.split(", ")
TEXTS = {"request", "error", "result"}  # These columns hold JSON.
MISSED = {"message": "the job's deadline passed before it was completed"}  # The error of EXPIRED.


def text_of(value: Json | None) -> str | None:
    return None if value is None else json.dumps(value)


def values_of(job: Job) -> list[object]:
    """The values of COLUMNS, in their order."""
    found = {name: getattr(job, name) for name in NAMES}
    return [text_of(value) if name in TEXTS else value for name, value in found.items()]


def job_of(row: Mapping[str, Any], seconds_ahead: float | None = None) -> Job:
    """The job of a row, which may have a result, and other columns besides."""
    found = {name: row[name] for name in NAMES}
    if "result" in row:
        found["result"] = row["result"]
    for name in TEXTS & found.keys():
        found[name] = None if found[name] is None else json.loads(found[name])
    found["kind"], found["state"] = JobKind(found["kind"]), JobState(found["state"])
    return Job(**found, seconds_ahead=seconds_ahead)


def event_of(row: Mapping[str, Any]) -> JobEvent:
    return JobEvent(row["attempt"], row["number"], json.loads(row["data"]))


def is_open(states: Collection[JobState]) -> bool:
    """Whether no job in these states has ended: an index of its own has all such jobs."""
    return bool(states) and not any(state.has_ended for state in states)
