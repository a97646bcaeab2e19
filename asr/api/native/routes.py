"""The service's own route `/asr`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import replace

from aiohttp import web

from asr.api.asr_answer import answer, options_of, overruled_languages, unused_speakers
from asr.api.asr_schemas import AsrParameters
from asr.api.job_submission import submit
from asr.api.known_speakers import knowing
from asr.audio.streams import Source
from asr.errors import Failure
from asr.formats import writers
from asr.formats.events import Event, diarized_events, transcript_events
from asr.formats.openai_json import label
from asr.http import requests, streaming
from asr.http.app_keys import ENGINE, TRANSCRIBER
from asr.http.dialect import problem
from asr.http.responses import answer_headers, log_request, server_headers, warning_header
from asr.options import Options
from asr.transcript import Transcript
from asr.transcription.scheduled_request import Timings
from asr.transcription.speakers import with_speakers

log = logging.getLogger(__name__)


async def transcribe(request: web.Request) -> web.StreamResponse:
    """`POST /asr`: take audio in any form, answer with text and chunks."""
    started = time.monotonic()
    async with contextlib.AsyncExitStack() as stack:
        door = requests.NotedDoor(request, stack)
        source, parameters = await requests.read(request, stack, AsrParameters, door)
        if parameters.is_async:
            return await submit(request, stack, door.url or source, parameters)
        server = request.app[TRANSCRIBER].server_info
        options = options_of(parameters, request.app[ENGINE].info, server)
        if options.speakers is not None:
            known = await knowing(options.speakers, parameters, request, stack)
            options = replace(options, speakers=known)
        warnings = [*overruled_languages(request, parameters), *unused_speakers(parameters)]
        if parameters.stream:
            return await _stream(request, source, options, warnings, started)
        transcript, timings = await request.app[TRANSCRIBER].transcribe(source, options)
    text = await _written(transcript, options)
    elapsed = time.monotonic() - started
    log_request(request, timings, elapsed)
    return web.json_response(
        text=text,
        headers=answer_headers(request, timings, elapsed, transcript.coverage)
        | warning_header([*warnings, *transcript.warnings]),
    )


async def _stream(
    request: web.Request,
    source: Source,
    options: Options,
    warnings: list[str],
    started: float,
) -> web.StreamResponse:
    """Answer with the events of OpenAI's streams, one JSON object in each line."""
    timings = Timings()
    granularities = {"segment", options.timestamps} if options.timestamps != "none" else set()
    parts, writing = request.app[TRANSCRIBER].parts(source, options, timings), writers.Verbatim()

    def closing(last: Transcript) -> Event:
        return {"duration": last.duration}

    if options.speakers is None:
        events = transcript_events(parts, writing, granularities, closing)
    else:
        events = diarized_events(parts, writing, granularities, closing, with_speakers, label)
    headers = server_headers(request) | warning_header(warnings)
    stream = streaming.EventStream(events, streaming.JSON_LINES, headers, _failure_event)
    return await streaming.send(request, stream, timings, started)


def _failure_event(failure: Failure) -> dict[str, object]:
    return {"type": "error", **problem(failure)}


async def _written(transcript: Transcript, options: Options) -> str:
    """The answer as JSON; words need a thread, because four hours of them take 200 ms.

    Segments do, too, where they are split at each change of the speaker.
    """
    if options.timestamps == "word" or options.speakers is not None:
        return (await asyncio.to_thread(answer, transcript, options.timestamps)).model_dump_json()
    return answer(transcript, options.timestamps).model_dump_json()
