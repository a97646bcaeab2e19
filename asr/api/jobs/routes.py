"""Handlers of `/jobs`: what is told of jobs, their results and their end."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncGenerator
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, Field

from asr.api.asr_answer import ResponseFormat, format_of, formatted
from asr.api.fields import CaptionParameters
from asr.api.job_answer import JobSummary, job_answer, job_summary
from asr.errors import Failure, NotCompleted
from asr.formats.events import Event
from asr.http import streaming
from asr.http.app_keys import CLIENT, ENGINE, JOBS
from asr.http.dialect import problem
from asr.http.responses import server_headers
from asr.jobs.job import Job, JobState
from asr.jobs.requests import options_from_json

LAST_ID = re.compile(r"(\d{1,9})\.(\d{1,9}|end)")  # The id of an event: attempt and number.
MOST_JOBS = 100  # A page of a list has at most so many jobs.


def _parted(value: object) -> object:
    return [part for part in value.split(",") if part] if isinstance(value, str) else value


class PageParameters(BaseModel):
    """Which jobs are listed."""

    state: Annotated[list[JobState], BeforeValidator(_parted)] = Field(
        [], description="Only jobs in these states, with commas between them; unset: in all"
    )
    after: str | None = Field(
        None, description="The `after` of the page before: the list goes on there"
    )
    limit: int = Field(20, ge=1, le=MOST_JOBS, description="At most so many jobs")


class JobPage(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobSummary]
    after: str | None = Field(description="Where the next page begins; null: this is the last one")


class ResultParameters(CaptionParameters):
    """How the result is written."""

    format: ResponseFormat | None = Field(
        None, description="Unset: the job's `response_format`; `json` is the answer of `/asr`"
    )


async def page(request: web.Request) -> web.Response:
    """`GET /jobs`: this client's jobs."""
    asked = PageParameters.model_validate(dict(request.query))
    jobs = request.app[JOBS]
    found = await jobs.page(request[CLIENT], set(asked.state), asked.after, asked.limit)
    listed = JobPage(jobs=[job_summary(request, job) for job in found.jobs], after=found.after)
    return web.json_response(text=listed.model_dump_json())


async def get(request: web.Request) -> web.Response:
    """`GET /jobs/{id}`: a job as it stands, with its text so far."""
    return await _told(request, await _job(request))


async def cancel(request: web.Request) -> web.Response:
    """`DELETE /jobs/{id}`: end a job; one that has ended stays as it is."""
    await request.app[JOBS].cancel(request.match_info["id"], request[CLIENT])
    return await _told(request, await _job(request))


async def redeliver(request: web.Request) -> web.Response:
    """`POST /jobs/{id}/redeliver`: tell the webhook of the job's end once more."""
    await request.app[JOBS].redeliver(request.match_info["id"], request[CLIENT])
    return await _told(request, await _job(request), status=202)


async def result(request: web.Request) -> web.Response:
    """`GET /jobs/{id}/result`: the transcript, in any format."""
    asked = ResultParameters.model_validate(dict(request.query))
    jobs, job = request.app[JOBS], await _job(request, with_result=True)
    if job.state is JobState.FAILED and job.error is not None:
        raise NotCompleted(f"the job {job.public_id} has failed: {job.error['message']}")
    transcript = await jobs.transcript(job)
    options = options_from_json(job.request["options"])
    wanted = asked.format or format_of(job)
    kind, text = await asyncio.to_thread(
        formatted, transcript, wanted, options, request.app[ENGINE].info, asked.layout
    )
    covered = transcript.coverage
    headers = {"X-Audio-Length": str(transcript.duration), **server_headers(request)}
    headers |= {} if covered is None else {"X-Speech-Coverage": f"{covered.share:.3f}"}
    return web.Response(text=text, content_type=kind, charset="utf-8", headers=headers)


async def events(request: web.Request) -> web.StreamResponse:
    """`GET /jobs/{id}/events`: its segments as they come, and at last its end.

    A client that was cut off goes on where it was by `Last-Event-ID`. Once it has the end, 204
    tells it to come no more.
    """
    job = await _job(request)
    last = LAST_ID.fullmatch(request.headers.get("Last-Event-ID", ""))
    if last is not None and last[2] == "end" and job.state.has_ended:
        return web.Response(status=204)
    after = (int(last[1]), int(last[2])) if last is not None and last[2] != "end" else None
    stream = streaming.EventStream(
        _events(request, job, after),
        streaming.IDENTIFIED_EVENTS,
        server_headers(request),
        _failure_event,
    )
    return await streaming.send(request, stream, None, time.monotonic())


async def _events(
    request: web.Request, job: Job, after: tuple[int, int] | None
) -> AsyncGenerator[Event]:
    jobs, client = request.app[JOBS], request[CLIENT]
    async with contextlib.aclosing(jobs.events(job.public_id, client, after)) as found:
        async for event in found:
            yield {streaming.EVENT_ID: f"{event.attempt}.{event.number}", **event.data}
    ended = await jobs.get(job.public_id, client)
    yield {
        streaming.EVENT_ID: f"{ended.attempt}.end",
        "type": f"job.{ended.state}",
        "id": ended.public_id,
        "state": ended.state,
        "error": ended.error,
    }


def _failure_event(failure: Failure) -> Event:
    return {"type": "error", **problem(failure)}


async def _told(request: web.Request, job: Job, status: int = 200) -> web.Response:
    found = await job_answer(request, job)
    return web.json_response(text=found.model_dump_json(), status=status)


async def _job(request: web.Request, with_result: bool = False) -> Job:
    return await request.app[JOBS].get(request.match_info["id"], request[CLIENT], with_result)
