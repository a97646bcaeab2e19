"""The service's own route `/asr`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from aiohttp import web

from asr.api.native.schemas import AsrAnswer, AsrParameters, Chunk
from asr.audio.streams import Source
from asr.capabilities import EngineInfo
from asr.errors import BadRequest, Failure
from asr.formats import writers
from asr.formats.captions import words_of
from asr.formats.events import transcript_events
from asr.http import requests, streaming
from asr.http.app_keys import ENGINE, TRANSCRIBER
from asr.http.dialect import problem
from asr.http.parameters import refuse_unknown
from asr.http.responses import answer_headers, log_request, server_headers, warning_header
from asr.options import Options
from asr.transcript import Transcript
from asr.transcription.languages import allowed_languages, language_code, overruled
from asr.transcription.scheduled_request import Timings

log = logging.getLogger(__name__)


async def transcribe(request: web.Request) -> web.StreamResponse:
    """`POST /asr`: take audio in any form, answer with text and chunks."""
    started = time.monotonic()
    async with contextlib.AsyncExitStack() as stack:
        source, parameters = await requests.read(request, stack, AsrParameters)
        options = _options(parameters, request.app[ENGINE].info)
        warnings = _overruled(request, parameters)
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
    events = transcript_events(
        request.app[TRANSCRIBER].parts(source, options, timings),
        writers.Verbatim(),
        granularities,
        lambda last: {"duration": last.duration},
    )
    headers = server_headers(request) | warning_header(warnings)
    stream = streaming.EventStream(events, streaming.JSON_LINES, headers, _failure_event)
    return await streaming.send(request, stream, timings, started)


def _failure_event(failure: Failure) -> dict[str, object]:
    return {"type": "error", **problem(failure)}


async def _written(transcript: Transcript, options: Options) -> str:
    """The answer as JSON; words need a thread, because four hours of them take 200 ms."""
    if options.timestamps == "word":
        return await asyncio.to_thread(_answer, transcript, options)
    return _answer(transcript, options)


def _answer(transcript: Transcript, options: Options) -> str:
    timed: list[Chunk] = []
    for segment in transcript.segments if options.timestamps != "none" else ():
        parts = words_of(segment) if options.timestamps == "word" else (segment,)
        timed += [Chunk(timestamp=(part.start, part.end), text=part.text) for part in parts]
    return AsrAnswer(text=transcript.text, chunks=timed).model_dump_json()


def _overruled(request: web.Request, asked: AsrParameters) -> list[str]:
    """The warnings about languages that were asked for and that LANGUAGE_FORCE overrules."""
    forced = request.app[TRANSCRIBER].server_info.forced_language
    names = overruled(forced, asked.language, asked.languages, request.app[ENGINE].info)
    if names and asked.strict:
        raise BadRequest(
            f"{', '.join(names)} has no effect, because the server has "
            f"LANGUAGE_FORCE={forced}: leave it out, or leave 'strict' out",
            names[0],
        )
    reason = f"has no effect: the server has LANGUAGE_FORCE={forced}"
    return [f"{name} {reason}" for name in names]


def _options(parameters: AsrParameters, info: EngineInfo) -> Options:
    refuse_unknown(parameters)
    ignored = parameters.without_effect(info)
    if parameters.strict and ignored:
        raise BadRequest(
            f"{', '.join(ignored)}: the model {info.model_id} gives no probabilities on this "
            "engine: leave them out, or leave 'strict' out",
            ignored[0],
        )
    return Options(
        language=language_code(parameters.language, info),
        languages=allowed_languages(parameters.languages, "languages", info),
        task=parameters.task,
        timestamps=parameters.timestamps,
        prompt=parameters.prompt,
        temperature=parameters.temperature,
        seed=parameters.seed,
        thresholds=parameters.thresholds,
        audio_track=parameters.audio_track,
        condition_on_previous_text=parameters.condition_on_previous_text,
    )
