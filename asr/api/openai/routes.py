"""Handlers of OpenAI's audio API, which Hugging Face's Whisper endpoints speak too.

https://platform.openai.com/docs/api-reference/audio. What callers ask for and we cannot do is
named in `X-Warnings`, or refused where they are `strict`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace

from aiohttp import web

from asr.api.known_speakers import with_voices
from asr.api.openai.plan import OPENAI_MODEL, AnswerPlan, plan, read_form
from asr.api.openai.problem import problem
from asr.api.openai.schemas import Model, Models
from asr.audio.streams import Source
from asr.capabilities import EngineInfo
from asr.errors import BadRequest, NotFound, UnsupportedMedia
from asr.formats import openai_json, writers
from asr.formats.events import Event, diarized_events, transcript_events
from asr.formats.json_text import json_text
from asr.formats.rttm import rttm
from asr.http import sources, streaming
from asr.http.app_keys import ENGINE, STARTED, TRANSCRIBER
from asr.http.bodies.multipart import Fields, Upload, merged, two_audios, without_file
from asr.http.parameters import LONG_FIELDS
from asr.http.responses import (
    answer_headers,
    log_request,
    server_headers,
    warning_header,
)
from asr.http.sources import body_limits
from asr.options import Task
from asr.text import quoted
from asr.transcript import Transcript
from asr.transcription.scheduled_request import Timings
from asr.transcription.speakers import with_speakers

UNKNOWN_LANGUAGE = "unknown"


async def models(request: web.Request) -> web.Response:
    """`GET /v1/models`: the one that is served."""
    listed = Models(data=[_model(request)])
    return web.json_response(text=listed.model_dump_json())


async def model(request: web.Request) -> web.Response:
    """`GET /v1/models/{id}`, also by OpenAI's name of Whisper; ids may hold slashes."""
    served, asked = _model(request), request.match_info["id"]
    if asked not in {served.id, OPENAI_MODEL}:
        raise NotFound(
            f"the model {quoted(asked)} is not served here: use {quoted(served.id)}", "model"
        )
    found = served.model_copy(update={"id": asked})  # clients look for the name that they sent
    return web.json_response(text=found.model_dump_json())


def _model(request: web.Request) -> Model:
    info = request.app[ENGINE].info
    return Model(id=info.model_id, created=request.app[STARTED], owned_by="asr-api")


async def transcriptions(request: web.Request) -> web.StreamResponse:
    """`POST /v1/audio/transcriptions`: text in the language that was spoken."""
    return await _answer(request, "transcribe")


async def translations(request: web.Request) -> web.StreamResponse:
    """`POST /v1/audio/translations`: English text."""
    return await _answer(request, "translate")


async def _answer(request: web.Request, task: Task) -> web.StreamResponse:
    started = time.monotonic()
    info, transcriber = request.app[ENGINE].info, request.app[TRANSCRIBER]
    async with contextlib.AsyncExitStack() as stack:
        source, planned = await _read(request, task, stack)
        if planned.known:
            planned = await _knowing_voices(request, planned, stack)
        if planned.is_streamed:
            return await _stream(request, source, planned, started)
        transcript, timings = await transcriber.transcribe(source, planned.options)
    kind, text = await asyncio.to_thread(_whole, transcript, planned, info)
    elapsed = time.monotonic() - started
    log_request(request, timings, elapsed)
    headers = answer_headers(request, timings, elapsed, transcript.coverage)
    headers |= warning_header([*planned.warnings, *transcript.warnings])
    return web.Response(text=text, content_type=kind, charset="utf-8", headers=headers)


async def _read(
    request: web.Request, task: Task, stack: contextlib.AsyncExitStack
) -> tuple[Source, AnswerPlan]:
    """The audio and how to transcribe it; the file of a stream is read while it arrives."""
    if request.content_type != "multipart/form-data":
        raise UnsupportedMedia(
            "the body is not multipart/form-data: send a form with the audio as the part 'file'"
        )
    info, server = request.app[ENGINE].info, request.app[TRANSCRIBER].server_info

    def decide(fields: Fields) -> AnswerPlan:
        return plan(read_form(fields), task, info, server)

    upload = Upload(request, body_limits(request), stack, long_names=LONG_FIELDS)
    fields = await upload.before()
    if upload.has_file and "url" in fields:
        raise two_audios()
    if upload.has_file and "stream" in fields:
        planned = decide(fields)
        if planned.is_streamed:
            return upload.live(_confirmation(fields, planned, decide)), planned
    rest = await upload.rest()
    fields = merged(fields, rest.fields)
    if rest.file is not None and "url" in fields:
        raise two_audios()
    return rest.file or _located(request, fields, stack), decide(fields)


def _confirmation(
    fields: Fields, planned: AnswerPlan, decide: Callable[[Fields], AnswerPlan]
) -> Callable[[Fields], None]:
    """Check fields that come after the file: they may not change the plan, nor name other audio."""

    def confirm(late: Fields) -> None:
        if "url" in late:
            raise two_audios()
        if decide(merged(fields, late)) != planned:
            raise BadRequest(
                f"{', '.join(late)} came after the file, but its text is already being sent: "
                "send the file last",
                next(iter(late)),
            )

    return confirm


async def _knowing_voices(
    request: web.Request, planned: AnswerPlan, stack: contextlib.AsyncExitStack
) -> AnswerPlan:
    speakers = planned.options.speakers
    assert speakers is not None
    speakers = replace(speakers, known=await with_voices(request, planned.known, stack))
    return replace(planned, options=replace(planned.options, speakers=speakers))


def _located(request: web.Request, fields: Fields, stack: contextlib.AsyncExitStack) -> Source:
    url = read_form(fields).url
    if url is None:
        raise without_file(fields)
    return sources.locate(request, url, stack)


def _whole(transcript: Transcript, planned: AnswerPlan, info: EngineInfo) -> tuple[str, str]:
    """The content type and the text of the answer; ten hours of audio take a second."""
    wanted = planned.response_format
    if wanted == "json":
        found = openai_json.plain_json(transcript, with_logprobs=planned.options.logprobs)
        return "application/json", json_text(found)
    if wanted == "verbose_json":
        return "application/json", json_text(_verbose(transcript, planned, info))
    if wanted == "diarized_json":
        found = openai_json.diarized_json(transcript, planned.options.task)
        return "application/json", json_text(_with_warnings(found, planned, transcript))
    if wanted == "rttm":
        return "text/plain", rttm(transcript.turns or ())
    return "text/plain", writers.written(transcript.segments, wanted, planned.layout)


def _verbose(transcript: Transcript, planned: AnswerPlan, info: EngineInfo) -> openai_json.Json:
    options = planned.options
    found = openai_json.verbose_json(
        transcript,
        options.task,
        language_name(transcript.language, options.task, info),
        planned.granularities,
        options.temperature,
        _channel_languages(transcript, options.task, info),
    )
    if options.logprobs:
        found["logprobs"] = openai_json.logprobs(transcript)
    return _with_warnings(found, planned, transcript, _gaps(transcript))


def _with_warnings(
    found: openai_json.Json, planned: AnswerPlan, transcript: Transcript, more: Sequence[str] = ()
) -> openai_json.Json:
    warnings = [*planned.warnings, *transcript.warnings, *more]
    return {**found, "warnings": warnings} if warnings else found


def language_name(code: str | None, task: Task, info: EngineInfo) -> str:
    """The English name of the language that the text is in."""
    if task == "translate":
        return "english"
    return info.languages.get(code or "", code or UNKNOWN_LANGUAGE)


def _channel_languages(transcript: Transcript, task: Task, info: EngineInfo) -> list[str]:
    return [language_name(code, task, info) for code in transcript.channel_languages or ()]


def _gaps(transcript: Transcript) -> list[str]:
    """A warning for values that the answer must have and this engine does not know."""
    for segment in transcript.segments:
        if segment.avg_logprob is None or segment.no_speech_prob is None:
            return ["avg_logprob and no_speech_prob are 0 where this engine does not compute them"]
    return []


async def _stream(
    request: web.Request, source: Source, planned: AnswerPlan, started: float
) -> web.StreamResponse:
    timings = Timings()
    events = _events(request, source, planned, timings)
    headers = {**server_headers(request), **warning_header(planned.warnings)}
    stream = streaming.EventStream(events, streaming.SERVER_SENT_EVENTS, headers, problem)
    return await streaming.send(request, stream, timings, started)


def _events(
    request: web.Request, source: Source, planned: AnswerPlan, timings: Timings
) -> AsyncGenerator[Event]:
    """The events of a stream; deltas are in the format asked for, or in plain text for JSON."""
    wanted = planned.response_format
    text_format: writers.TextFormat = "text"
    if wanted == "srt" or wanted == "vtt" or wanted == "lrc" or wanted == "tsv":
        text_format = wanted

    def closing(last: Transcript) -> Event:
        if wanted != "verbose_json":
            return {}
        task, info = planned.options.task, request.app[ENGINE].info
        language = language_name(last.language, task, info)
        fields: dict[str, object] = {"language": language, "duration": last.duration}
        if channels := _channel_languages(last, task, info):
            fields["channels"] = openai_json.channels_json(channels)
        warnings = [*planned.warnings, *last.warnings]
        return {**fields, "warnings": warnings} if warnings else fields

    parts = request.app[TRANSCRIBER].parts(source, planned.options, timings)
    writing = writers.writer(text_format, planned.layout)
    logprobs = planned.options.logprobs
    if planned.options.speakers is not None:
        return diarized_events(
            parts, writing, planned.granularities, closing, with_speakers, with_logprobs=logprobs
        )
    return transcript_events(parts, writing, planned.granularities, closing, with_logprobs=logprobs)
