"""Handlers of Insanely Fast Whisper's API.

https://github.com/JigsawStack/insanely-fast-whisper-api. A request that nobody can ask for later
(without a webhook and an id of its own) is transcribed at once, as by `/asr`, and is not kept. Any
other one is a job, so that neither a caller who leaves nor a webhook that fails loses its text.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid

from aiohttp import web

from asr.api import jigsaw
from asr.api.insanely_fast import answers
from asr.api.insanely_fast.answers import IS_ASYNC, MACHINE, NAME
from asr.api.insanely_fast.schemas import TaskParameters
from asr.api.jigsaw_jobs import RequestAudio, TaskFailed
from asr.errors import BadRequest, NotFound
from asr.formats.json_text import json_text
from asr.formats.pipeline_json import Json
from asr.http.app_keys import CLIENT, CONFIG, ENGINE, JOBS, TRANSCRIBER
from asr.http.job_audio import kept_after_all
from asr.http.queue_place import Fields, is_true
from asr.http.responses import (
    answer_headers,
    decimals,
    log_request,
    server_headers,
    warning_header,
)
from asr.jobs.job import Job, JobState
from asr.jobs.submission import Submission, Webhook
from asr.options import Options
from asr.text import quoted

ACTIVE = (JobState.QUEUED, JobState.RUNNING)
JOB_FIELDS = ("is_async", "webhook", "managed_task_id")  # Each of them makes a job.
PAGE_TASKS = 500  # The store is asked for so many tasks at a time.
MOST_TASKS = 10_000  # `/tasks` lists the newest ones, at most so many.
WAITED_FOR = 1  # The priority of a job for which a request waits: it goes before the others.


async def create(request: web.Request) -> web.Response:
    """`POST /` and `/upload`: take audio by URL or as a file, answer with its text."""
    started = time.monotonic()
    async with contextlib.AsyncExitStack() as stack:
        audio, asked = await jigsaw.read(request, stack, TaskParameters)
        options = _options(request, asked)
        if not is_job(asked.model_dump(include=set(JOB_FIELDS))):
            return await _transcribed(request, audio, options, asked, started)
        job = await _submitted(request, stack, audio, options, asked)
    if asked.is_async:
        return web.json_response(
            answers.known(job) if job.state.has_ended else answers.processing(job)
        )
    return await _awaited(request, job, asked, started)


def is_job(fields: Fields) -> bool:
    """Whether a request can be asked for later, by its fields, validated or not."""
    asked = {name: fields.get(name) for name in JOB_FIELDS}
    return is_true(asked.pop("is_async")) or any(asked.values())


def _options(request: web.Request, asked: TaskParameters) -> Options:
    server = request.app[TRANSCRIBER].server_info
    options = jigsaw.options(asked, request.app[ENGINE].info, server)
    if asked.is_async and asked.webhook is None:
        raise BadRequest(
            "Webhook is required for async tasks: send 'webhook', or a job to /jobs, whose result "
            "can be fetched",
            "webhook",
        )
    return options


async def _transcribed(
    request: web.Request,
    audio: RequestAudio,
    options: Options,
    asked: TaskParameters,
    started: float,
) -> web.Response:
    """The answer to a request that is not kept."""
    transcript, timings = await request.app[TRANSCRIBER].transcribe(audio.source, options)
    text = await jigsaw.written(
        transcript,
        asked.timestamps,
        status="completed",
        task_id=uuid.uuid4().hex,
        **_machine(request),
    )
    elapsed = time.monotonic() - started
    log_request(request, timings, elapsed)
    warnings = [*jigsaw.overruled_language(request, asked), *transcript.warnings]
    headers = answer_headers(request, timings, elapsed, transcript.coverage)
    return web.json_response(text=text, headers=headers | warning_header(warnings))


async def _submitted(
    request: web.Request,
    stack: contextlib.AsyncExitStack,
    audio: RequestAudio,
    options: Options,
    asked: TaskParameters,
) -> Job:
    request.app[TRANSCRIBER].check(options)
    place, fingerprint = await kept_after_all(request, stack, audio.for_a_job, asked)
    webhook = asked.webhook
    return await request.app[JOBS].submit(
        Submission(
            audio=place,
            options=options,
            client=request[CLIENT],
            dialect=NAME,
            id=asked.managed_task_id,
            fingerprint=fingerprint,
            webhook=None if webhook is None else Webhook(webhook.url, headers=webhook.header),
            priority=0 if asked.is_async else WAITED_FOR,
            extra={IS_ASYNC: asked.is_async, **_machine(request)},
        )
    )


async def _awaited(
    request: web.Request, job: Job, asked: TaskParameters, started: float
) -> web.Response:
    """The answer to a request that waits for its job; the job goes on where the caller leaves."""
    ended = await request.app[JOBS].wait(job.public_id, request[CLIENT])
    if ended.state is not JobState.COMPLETED:
        raise TaskFailed(ended)
    job = await _task(request, ended.public_id)
    transcript = await request.app[JOBS].transcript(job)
    text = await asyncio.to_thread(lambda: _text(answers.webhook_body(job, transcript)))
    headers = {
        **server_headers(request),
        "X-Processing-Time": decimals(time.monotonic() - started),
        "X-Audio-Length": str(transcript.duration),
        **warning_header([*jigsaw.overruled_language(request, asked), *transcript.warnings]),
    }
    return web.json_response(text=text, headers=headers)


async def tasks(request: web.Request) -> web.Response:
    """`GET /tasks`: the ids of those that are processed, oldest first."""
    jobs, client = request.app[JOBS], request[CLIENT]
    ids: list[str] = []
    page = await jobs.page(client, ACTIVE, None, PAGE_TASKS)
    ids += [job.public_id for job in page.jobs]
    while page.after is not None and len(ids) < MOST_TASKS:
        page = await jobs.page(client, ACTIVE, page.after, PAGE_TASKS)
        ids += [job.public_id for job in page.jobs]
    return web.json_response({"tasks": ids[::-1]})


async def status(request: web.Request) -> web.Response:
    """`GET /status/{id}`: processing, or the output, as long as the job is kept."""
    return await _stands(request, await _task(request, request.match_info["id"]))


async def cancel(request: web.Request) -> web.Response:
    """`DELETE /cancel/{id}`: stop a background task; of one that has ended, its output."""
    job = await _task(request, request.match_info["id"])
    if job.state.has_ended:
        return await _stands(request, job)
    if not answers.is_background(job):
        raise BadRequest(
            "Not a background task: a request waits for it; DELETE /jobs/ID stops it all the same"
        )
    before = await request.app[JOBS].cancel(job.public_id, request[CLIENT])
    if before.state.has_ended:  # meanwhile
        return await _stands(request, await _task(request, job.public_id))
    return web.json_response({"status": "cancelled"})


async def _stands(request: web.Request, job: Job) -> web.Response:
    is_completed = job.state is JobState.COMPLETED
    transcript = await request.app[JOBS].transcript(job) if is_completed else None
    text = await asyncio.to_thread(lambda: _text(answers.status(job, transcript)))
    return web.json_response(text=text)


async def _task(request: web.Request, task_id: str) -> Job:
    try:
        return await request.app[JOBS].get(task_id, request[CLIENT], with_result=True)
    except NotFound as error:
        raise NotFound(
            f"Task not found: {quoted(task_id)} was never kept, or is kept no longer "
            "(JOBS_TTL_HOURS)"
        ) from error


def _text(found: Json) -> str:
    return json_text(found, ensure_ascii=False)


def _machine(request: web.Request) -> dict[str, str]:
    """The machine on Fly.io that answers, where there is one."""
    machine = request.app[CONFIG].fly_machine_id
    return {MACHINE: machine} if machine else {}
