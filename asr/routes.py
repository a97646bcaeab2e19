"""The service's own routes: `/asr`, `/hc`, `/health` and `/metrics`."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from typing import TypeVar
from urllib.parse import parse_qsl

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

import asr
from asr import formats, sources, streaming
from asr.audio import Source
from asr.errors import BadRequest, Failure, Invalid, TooLarge
from asr.keys import (
    CONFIG,
    ENGINE,
    METRICS,
    OUTBOUND,
    SCHEDULER,
    TRANSCRIBER,
)
from asr.replies import answer_headers, body_limits, log_request, server_headers
from asr.schemas import AsrAnswer, AsrParameters, AsrRequest, Chunk, Health
from asr.transcriber import Timings, language_code
from asr.transcript import EngineInfo, Options, Transcript

log = logging.getLogger(__name__)

Parameters = TypeVar("Parameters", bound=AsrParameters)

URL_FORM = re.compile(rb"(url|language|task|timestamps|prompt|temperature|stream|strict)=")
JSON_ERRORS = (ValueError, RecursionError)  # the latter: nested too deep
JSON_BYTES = 32 * 2**20  # of a body with keys; a data URI in it may hold 24 MiB of audio
BLANK_BYTES = 64 * 1024  # white space before a JSON object
BLANK = b" \t\r\n\xef\xbb\xbf"  # JSON's white space, and a byte order mark
FORM_FIELDS = 100


async def hc(request: web.Request) -> web.Response:
    """Ready, or why not; a probe that sees 503 should replace the instance."""
    failure = request.app[SCHEDULER].failure
    answer = Health(status="error" if failure else "ok", version=asr.__version__, error=failure)
    if request.query.get("verbose") == "1":
        answer.engine = asdict(request.app[ENGINE].info)
    body = answer.model_dump_json(exclude_none=True)
    return web.json_response(text=body, status=503 if failure else 200)


async def health(request: web.Request) -> web.Response:
    return web.Response(status=503 if request.app[SCHEDULER].failure else 200)


async def metrics(request: web.Request) -> web.Response:
    text = generate_latest(request.app[METRICS].registry)
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def transcribe(request: web.Request) -> web.StreamResponse:
    """`POST /asr`: audio by any door in, text and chunks out."""
    started = time.monotonic()
    async with contextlib.AsyncExitStack() as stack:
        source, parameters = await _read(request, stack)
        options = _options(parameters, request.app[ENGINE].info)
        if parameters.stream:
            return await _stream(request, source, options, started)
        transcript, timings = await request.app[TRANSCRIBER].transcribe(source, options)
    elapsed = time.monotonic() - started
    log_request(request, timings, elapsed)
    return web.json_response(
        text=_answer(transcript, options).model_dump_json(),
        headers=answer_headers(request, timings, elapsed),
    )


async def _stream(
    request: web.Request, source: Source, options: Options, started: float
) -> web.StreamResponse:
    """The events of OpenAI's dialect, one JSON object in each line."""
    timings = Timings()
    granularities = {"segment", options.timestamps} if options.timestamps != "none" else set()
    events = streaming.events(
        request.app[TRANSCRIBER].parts(source, options, timings),
        formats.Verbatim(),
        granularities,
        lambda last: {"duration": last.duration},
    )
    framing, headers = streaming.JSON_LINES, server_headers(request)
    response = await streaming.send(request, events, framing, problem, headers)
    log_request(request, timings, time.monotonic() - started)
    return response


def problem(failure: Failure) -> dict[str, object]:
    """A failure as the service's own routes tell it."""
    return {"error": failure.message}


def _answer(transcript: Transcript, options: Options) -> AsrAnswer:
    timed: list[Chunk] = []
    for segment in transcript.segments if options.timestamps != "none" else ():
        parts = segment.words if options.timestamps == "word" else (segment,)
        timed += [Chunk(timestamp=(part.start, part.end), text=part.text) for part in parts]
    return AsrAnswer(text=transcript.text, chunks=timed)


def _options(parameters: AsrParameters, info: EngineInfo) -> Options:
    unknown = sorted(parameters.model_extra or {})
    if parameters.strict and unknown:
        raise BadRequest(f"unknown keys: {', '.join(unknown)}; leave them out or drop 'strict'")
    return Options(
        language=language_code(parameters.language, info),
        task=parameters.task,
        timestamps=parameters.timestamps,
        prompt=parameters.prompt,
        temperature=parameters.temperature,
    )


async def _read(
    request: web.Request, stack: contextlib.AsyncExitStack
) -> tuple[Source, AsrParameters]:
    """The request's audio and parameters, whichever way they came."""
    limits = body_limits(request)
    query = dict(request.query)
    if "url" in query:
        return _located(request, query, stack)
    if request.content_type == "multipart/form-data":
        return await _read_form(request, query, stack)
    body = sources.body(request, limits)
    head = await _head(body)
    if head.lstrip(BLANK)[:1] == b"{" or request.content_type == "application/json":
        data = await _whole(head, body)
        return _located(request, {**query, **_json_object(data)}, stack)
    is_form = request.content_type == "application/x-www-form-urlencoded"
    if is_form and URL_FORM.match(head):
        fields = _url_form(await _whole(head, body))
        return _located(request, {**query, **fields}, stack)
    return _again(head, body), AsrParameters.model_validate(query)


async def _read_form(
    request: web.Request, query: Mapping[str, object], stack: contextlib.AsyncExitStack
) -> tuple[Source, AsrParameters]:
    form = await sources.form(request, body_limits(request), stack)
    fields = {**query, **{name: values[-1] for name, values in form.fields.items()}}
    if form.file is not None:
        return form.file, AsrParameters.model_validate(fields)
    if "url" in fields:
        return _located(request, fields, stack)
    raise BadRequest("the form has no file: send the audio as the part 'file', or a 'url'")


def _located(
    request: web.Request, fields: Mapping[str, object], stack: contextlib.AsyncExitStack
) -> tuple[Source, AsrParameters]:
    parameters = AsrRequest.model_validate(fields)
    source = sources.locate(
        parameters.url,
        request.app[OUTBOUND],
        request.app[CONFIG].audio_root,
        body_limits(request),
        stack,
    )
    return source, parameters


def _json_object(data: bytes) -> dict[str, object]:
    try:
        found = json.loads(data)
    except JSON_ERRORS as error:
        raise BadRequest(f'the body is not JSON ({error}): send {{"url": "..."}}') from error
    if not isinstance(found, dict):
        raise Invalid('the body is not a JSON object: send {"url": "..."} or audio bytes')
    return found


def _url_form(data: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(data.decode("utf-8", "replace"), max_num_fields=FORM_FIELDS))
    except ValueError as error:
        raise BadRequest(f"the form has more than {FORM_FIELDS} fields") from error


async def _head(body: AsyncIterator[bytes]) -> bytes:
    """The body's first bytes: enough to tell JSON from audio; b"" for an empty body."""
    head = b""
    async for data in body:
        head += data
        if head.strip(BLANK) or len(head) > BLANK_BYTES:
            break
    return head


async def _whole(head: bytes, body: AsyncIterator[bytes]) -> bytes:
    data = bytearray(head)
    async for part in body:
        data += part
        if len(data) > JSON_BYTES:
            raise TooLarge(
                f"a JSON object or form may have {JSON_BYTES // 2**20} MiB: "
                "send the audio's bytes as the body"
            )
    return bytes(data)


async def _again(head: bytes, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if head:
        yield head
    async for data in body:
        yield data
