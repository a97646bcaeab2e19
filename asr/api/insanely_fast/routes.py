"""Handlers of Insanely Fast Whisper's API.

https://github.com/JigsawStack/insanely-fast-whisper-api. A request that nobody can ask for later
(without webhook and id of its own) is transcribed at once, as by `/asr`, and is not kept.
"""

from __future__ import annotations

import contextlib
import time
import uuid

from aiohttp import web

from asr.api import jigsaw
from asr.api.insanely_fast.schemas import TaskParameters
from asr.errors import BadRequest
from asr.http.app_keys import CONFIG, ENGINE, TRANSCRIBER
from asr.http.responses import answer_headers, log_request, warning_header
from asr.options import Options


async def create(request: web.Request) -> web.Response:
    """`POST /` and `/upload`: take audio by URL or as a file, answer with its text."""
    started = time.monotonic()
    async with contextlib.AsyncExitStack() as stack:
        source, asked = await jigsaw.read(request, stack, TaskParameters)
        options = _options(request, asked)
        transcript, timings = await request.app[TRANSCRIBER].transcribe(source, options)
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
    return web.json_response(
        text=text,
        headers=answer_headers(request, timings, elapsed, transcript.coverage)
        | warning_header(warnings),
    )


def _options(request: web.Request, asked: TaskParameters) -> Options:
    options = jigsaw.options(asked, request.app[ENGINE].info)
    if asked.is_async and asked.webhook is None:
        raise BadRequest(
            "Webhook is required for async tasks: send 'webhook', or a job to /jobs, whose result "
            "can be fetched",
            "webhook",
        )
    return options


def _machine(request: web.Request) -> dict[str, str]:
    """The machine on Fly.io that answers, where there is one."""
    machine = request.app[CONFIG].fly_machine_id
    return {"fly_machine_id": machine} if machine else {}
