"""Handlers of JigsawStack's Truss: https://github.com/JigsawStack/insanely-fast-whisper-truss.

There every failure is a 200. Here it has its own status, unless TRUSS_ERRORS_AS_200 is set.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time

import pydantic
from aiohttp import web

from asr.api import jigsaw
from asr.api.truss.schemas import AsyncRequest, PredictParameters
from asr.api.truss.webhook import MODEL, NAME
from asr.errors import AsrError, Failure
from asr.http import requests
from asr.http.app_keys import CLIENT, CONFIG, DIALECTS, ENGINE, JOBS, TRANSCRIBER
from asr.http.dialect import Handler, dialect_of
from asr.http.job_audio import kept_after_all
from asr.http.parameters import Location
from asr.http.responses import answer_headers, caller, log_request, warning_header
from asr.jobs.submission import Submission, Webhook

log = logging.getLogger(__name__)


def with_status_200(handler: Handler) -> Handler:
    """Let the failures of `handler` have the status 200 where TRUSS_ERRORS_AS_200 is set."""

    @functools.wraps(handler)
    async def answer(request: web.Request) -> web.StreamResponse:
        if not request.app[CONFIG].truss_errors_as_200:
            return await handler(request)
        dialect = dialect_of(request.path, request.app[DIALECTS])
        try:
            return await handler(request)
        except pydantic.ValidationError as error:
            failure = dialect.invalid(error)
        except AsrError as error:
            failure = Failure.of(error)
        log.info("%s %s: as 200: %r", caller(request), request.path, failure.message)
        return web.json_response(dialect.problem(failure))

    return answer


@with_status_200
async def predict(request: web.Request) -> web.StreamResponse:
    """`POST /production/predict`: the URL of audio in, the pipeline's output out."""
    started = time.monotonic()
    async with contextlib.AsyncExitStack() as stack:
        audio, asked = await jigsaw.read(request, stack, PredictParameters)
        server = request.app[TRANSCRIBER].server_info
        options = jigsaw.options(asked, request.app[ENGINE].info, server)
        transcript, timings = await request.app[TRANSCRIBER].transcribe(audio.source, options)
    text = await jigsaw.written(transcript, asked.timestamps)
    elapsed = time.monotonic() - started
    log_request(request, timings, elapsed)
    warnings = [*asked.warnings, *jigsaw.overruled_language(request, asked), *transcript.warnings]
    return web.json_response(
        text=text,
        headers=answer_headers(request, timings, elapsed, transcript.coverage)
        | warning_header(warnings),
    )


@with_status_200
async def predict_later(request: web.Request) -> web.StreamResponse:
    """`POST /production/async_predict`: the same for later, told to a webhook."""
    sent = AsyncRequest.model_validate(await requests.read_object(request))
    info = request.app[ENGINE].info
    url = Location.model_validate(sent.model_input).url
    jigsaw.check_url(url, request.app[CONFIG])
    asked = PredictParameters.model_validate(sent.model_input)
    options = jigsaw.options(asked, info, request.app[TRANSCRIBER].server_info)
    request.app[TRANSCRIBER].check(options)
    async with contextlib.AsyncExitStack() as stack:
        place, fingerprint = await kept_after_all(request, stack, url, asked)
        webhook = sent.webhook_endpoint
        job = await request.app[JOBS].submit(
            Submission(
                audio=place,
                options=options,
                client=request[CLIENT],
                dialect=NAME,
                fingerprint=fingerprint,
                webhook=None if not webhook else Webhook(webhook),
                priority=-sent.priority,
                extra={MODEL: info.model_id},
            )
        )
    return web.json_response({"request_id": job.public_id}, status=202)
