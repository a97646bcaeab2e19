"""The routes of jobs, as the OpenAPI document describes them."""

from __future__ import annotations

from pydantic import BaseModel

from asr.api.job_answer import JobAnswer
from asr.api.job_submission import KEY, JobForm, JobParameters, JobRequest
from asr.api.jobs.routes import JobPage, PageParameters, ResultParameters
from asr.api.jobs.webhook import JobEnded
from asr.errors import Invalid
from asr.http import openapi
from asr.http.dialect import Problem
from asr.http.openapi import SECURITY, TEXT, Json
from asr.jobs.job import JobState

TAGS = ["Jobs"]
ID: Json = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
SIGNED_HEADERS = {  # of Standard Webhooks
    "webhook-id": "The same in every attempt",
    "webhook-timestamp": "When this attempt began, in seconds since 1970",
    "webhook-signature": "`v1,` and base64; absent where there is no secret",
}
MEANINGS = {
    401: "The API key is missing or wrong",
    404: "There is no such job, or it is another client's",
    409: "The job has not ended, or it has no result",
    422: "A parameter is of the wrong kind",
    503: "The job store does not answer; try again after Retry-After seconds",
}


def submission() -> Json:
    key = {"name": KEY, "in": "header", "description": "A key of this request alone", **TEXT}
    return {
        "tags": TAGS,
        "summary": "Submit a job",
        "operationId": "submitJob",
        "description": (
            "Takes audio in the same ways as `/asr`, with the same options. The audio is kept "
            "until the job has ended, the result for JOBS_TTL_HOURS. A request that is repeated "
            f"with the same `id` or `{KEY}` is the same job; with other audio or options, a 422."
        ),
        "parameters": [*openapi.query(JobParameters), key],
        "requestBody": openapi.audio_body(JobRequest, JobForm),
        "responses": {
            "202": _answer("The job is kept; `Location` is its address", JobAnswer),
            "200": _answer("The same request was made before, and its job has ended", JobAnswer),
            **openapi.problems(Problem, Invalid.status),
        },
        "security": SECURITY,
    }


def page() -> Json:
    return _operation("List jobs", "listJobs", JobPage, "Jobs, newest first", 422) | {
        "parameters": openapi.query(PageParameters)
    }


def job() -> Json:
    return _operation("A job", "getJob", JobAnswer, "The job as it stands, with its text so far")


def cancel() -> Json:
    text = "The job; one that had ended before stays as it was"
    return _operation("Cancel a job", "cancelJob", JobAnswer, text)


def redeliver() -> Json:
    found = _operation("Tell the webhook again", "redeliver", JobAnswer, "The job", 400, 409)
    found["responses"]["202"] = found["responses"].pop("200")
    return found


def result() -> Json:
    found = _operation("A job's result", "getResult", None, "The result, in the format", 409, 422)
    return found | {"parameters": [ID, *openapi.query(ResultParameters)]}


def events() -> Json:
    found = _operation("Follow a job", "followJob", None, "Server-Sent Events until it has ended")
    last = {"name": "Last-Event-ID", "in": "header", "description": "The last event you have"}
    found["responses"]["204"] = {"description": "You have its last event"}
    return found | {"parameters": [ID, {**last, **TEXT}]}


def webhooks() -> Json:
    """What the webhook of a job is told, by event."""
    return {
        f"job.{state}": {
            "post": {
                "tags": TAGS,
                "summary": f"A job is {state}" if state != JobState.FAILED else "A job has failed",
                "operationId": f"job_{state}",
                "parameters": [
                    {"name": name, "in": "header", "description": meaning, **TEXT}
                    for name, meaning in SIGNED_HEADERS.items()
                ],
                "requestBody": {"required": True, "content": {"application/json": ended}},
                "responses": {
                    "2XX": {"description": "It is delivered"},
                    "410": {"description": "It is not sent again, nor after any other 3xx and 4xx"},
                    "default": {
                        "description": "After 408, 425, 429 and 5xx it is sent again, for two days"
                    },
                },
            }
        }
        for ended in [openapi.content(JobEnded)]
        for state in JobState
        if state.has_ended
    }


def _operation(
    summary: str, name: str, shape: type[BaseModel] | None, meaning: str, *more: int
) -> Json:
    statuses = sorted({401, 404, 503, *more})
    meanings = {400: "The job has no webhook", **MEANINGS}
    return {
        "tags": TAGS,
        "summary": summary,
        "operationId": name,
        "parameters": [ID],
        "responses": {
            "200": _answer(meaning, shape),
            **{str(each): openapi.problem(meanings[each], Problem) for each in statuses},
        },
        "security": SECURITY,
    }


def _answer(meaning: str, shape: type[BaseModel] | None) -> Json:
    if shape is None:
        return {"description": meaning}
    return {"description": meaning, "content": {"application/json": openapi.content(shape)}}
