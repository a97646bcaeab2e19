"""Handlers of whisper-asr-webservice's API, which Bazarr and others speak.

Its options are in the query alone. The whole upload is taken in before it is transcribed, at the
speed of the network: urllib3 gives Bazarr's whole upload no more than the seconds in which a
connection must be made.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable

from aiohttp import web

from asr.api.whisper_asr import plan
from asr.api.whisper_asr.schemas import (
    AUDIO_FILE,
    DetectedLanguage,
    DetectionQuery,
    FileQuery,
    TranscriptionQuery,
)
from asr.audio.streams import Source
from asr.capabilities import EngineInfo
from asr.errors import BadRequest, Invalid
from asr.formats.whisper_output import written
from asr.http.app_keys import ENGINE, TRANSCRIBER
from asr.http.bodies.multipart import FILE, Upload
from asr.http.dialect import FORM
from asr.http.responses import (
    answer_headers,
    caller,
    decimals,
    log_request,
    server_headers,
    warning_header,
)
from asr.http.sources import body_limits
from asr.options import Options
from asr.text import quoted
from asr.transcript import LanguageDetection

log = logging.getLogger(__name__)

ENGINE_NAME = "openai_whisper"  # Of the three that clients know, its JSON is the one that we have.
UNKNOWN_CODE, UNKNOWN_NAME = "und", "undetermined"  # ISO 639's, which Bazarr reads as no language.
RAW = "audio/pcm;rate=16000"  # What `encode=false` says of the file.
NAMES = (AUDIO_FILE, FILE)
DIGITS = 6  # The confidence is rounded to so many decimals.
VIDEO_CHARS = 200  # Of a video's name, the log shows so many characters.


async def transcribe(request: web.Request) -> web.Response:
    """`POST /asr` with an `audio_file`: answer with the text as a file of the `output`."""
    started = time.monotonic()
    asked = TranscriptionQuery.model_validate(_query(request))
    options = plan.options_of(request, asked)
    async with contextlib.AsyncExitStack() as stack:
        upload, source, fields = await _read(request, stack, asked)
        transcript, timings = await request.app[TRANSCRIBER].transcribe(source, options)
    text = await asyncio.to_thread(written, transcript, asked.output)
    elapsed = time.monotonic() - started
    log_request(request, timings, elapsed)
    warnings = [*plan.unhonoured(request, asked), *plan.in_form(fields), *transcript.warnings]
    headers = answer_headers(request, timings, elapsed, transcript.coverage)
    headers["Asr-Engine"] = ENGINE_NAME
    headers["Content-Disposition"] = plan.attachment(upload.filename, asked.output)
    headers |= warning_header(warnings)
    return web.Response(text=text, content_type="text/plain", charset="utf-8", headers=headers)


async def detect(request: web.Request) -> web.Response:
    """`POST /detect-language` with an `audio_file`: name the language that is spoken."""
    started = time.monotonic()
    asked = DetectionQuery.model_validate(_query(request))
    info = request.app[ENGINE].info
    if not info.languages:
        raise BadRequest(
            f"the model {info.model_id} cannot detect languages: serve a multilingual Whisper "
            "model, or name the language"
        )
    options = Options(part=asked.part, channels=asked.asked_channels)
    async with contextlib.AsyncExitStack() as stack:
        _, source, fields = await _read(request, stack, asked)
        detection = await request.app[TRANSCRIBER].detect(source, options)
    elapsed = time.monotonic() - started
    log.info("%s %s: %s, %.2f s", caller(request), request.path, detection.language, elapsed)
    headers = {**server_headers(request), "X-Processing-Time": decimals(elapsed)}
    headers |= warning_header([*plan.unknown(asked), *plan.in_form(fields)])
    return web.json_response(
        text=_detected(detection, info).model_dump_json(),
        headers=headers,
    )


def _query(request: web.Request) -> dict[str, str]:
    """The query, of which the last of several values counts."""
    return dict(request.query.items())


async def _read(
    request: web.Request, stack: contextlib.AsyncExitStack, asked: FileQuery
) -> tuple[Upload, Source, Iterable[str]]:
    """The upload, its file, and the names of its other fields.

    Raises:
        Invalid: there is no file.
    """
    if asked.video_file:
        video = quoted(asked.video_file[-VIDEO_CHARS:])
        log.info("%s %s: the audio of %s", caller(request), request.path, video)
    if request.content_type != FORM:
        raise Invalid(
            f"the body is no multipart form: send the audio as its part {AUDIO_FILE!r}", AUDIO_FILE
        )
    upload = Upload(
        request,
        body_limits(request),
        stack,
        NAMES,
        media_type=None if asked.encode else RAW,
    )
    before = await upload.before()
    rest = await upload.rest()
    if rest.file is None:
        raise Invalid(
            f"the form has no audio: send it as the part {AUDIO_FILE!r}, with a file name",
            AUDIO_FILE,
        )
    return upload, rest.file, dict.fromkeys([*before, *rest.fields])


def _detected(detection: LanguageDetection, info: EngineInfo) -> DetectedLanguage:
    code = detection.language
    if code is None:
        return DetectedLanguage(
            detected_language=UNKNOWN_NAME, language_code=UNKNOWN_CODE, confidence=0.0
        )
    return DetectedLanguage(
        detected_language=info.languages.get(code, code),
        language_code=code,
        confidence=round(detection.probabilities.get(code, 1.0), DIGITS),
    )
