"""Deepgram's route for recordings: https://developers.deepgram.com/reference.

A request with a `callback` is a job, so that neither a caller who leaves nor a callback that
fails loses its text. Any other one is transcribed at once, and is not kept.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator
from typing import BinaryIO

from aiohttp import hdrs, web
from yarl import URL

from asr.api.deepgram.answer import answer
from asr.api.deepgram.plan import ListenPlan, plan
from asr.api.deepgram.schemas import Accepted, AnswerDetails, ListenBody, read_query
from asr.api.deepgram.webhook import DETAILS, NAME
from asr.audio import raw_pcm
from asr.audio.streams import Source
from asr.concurrency import run_in_thread
from asr.errors import BadRequest, BadUrl, Forbidden
from asr.formats.json_text import json_text
from asr.http import requests
from asr.http.app_keys import CLIENT, CONFIG, ENGINE, JOBS, REQUEST_ID, TRANSCRIBER
from asr.http.bodies.json_object import DataUri
from asr.http.job_audio import kept_after_all
from asr.http.queue_place import Fields
from asr.http.responses import answer_headers, log_request, server_headers, warning_header
from asr.jobs.submission import Submission, Webhook
from asr.outbound.fetch import checked_url

READ_BYTES = 2**20  # So many bytes of a form's file are hashed at a time.
OWN_ID = "dg-request-id"  # Deepgram's clients look for the request's id in this header.


def is_job(fields: Fields) -> bool:
    """Whether a request becomes a job, by its query."""
    return bool(fields.get("callback"))


async def listen(request: web.Request) -> web.Response:
    """`POST /v1/listen`: take audio by URL or as the body, answer with words and times."""
    started = time.monotonic()
    transcriber = request.app[TRANSCRIBER]
    planned = _plan(request)
    async with contextlib.AsyncExitStack() as stack:
        door = ListenDoor(request, stack, planned.media_type)
        is_raw = planned.media_type != ""
        source, _ = await requests.read(request, stack, ListenBody, door, has_samples=is_raw)
        source = await door.hashed(source)
        if planned.callback is not None:
            return await _submitted(request, stack, door, source, planned)
        transcript, timings = await transcriber.transcribe(source, planned.options)
    request_id = request[REQUEST_ID]
    told = door.with_hash(planned.answer)
    text = await asyncio.to_thread(lambda: _text(answer(transcript, told, request_id)))
    elapsed = time.monotonic() - started
    log_request(request, timings, elapsed)
    headers = answer_headers(request, timings, elapsed, transcript.coverage)
    headers |= warning_header([*planned.warnings, *transcript.warnings]) | {OWN_ID: request_id}
    return web.json_response(text=text, headers=headers)


async def listen_live(request: web.Request) -> web.Response:
    """`GET /v1/listen`: Deepgram's WebSocket for live audio, which is not here.

    Raises:
        BadRequest: it tells where live audio goes.
        HTTPMethodNotAllowed: the request opens no WebSocket.
    """
    if request.headers.get(hdrs.UPGRADE, "").strip().lower() != "websocket":
        raise web.HTTPMethodNotAllowed(request.method, [hdrs.METH_POST])
    raise BadRequest(
        f"{request.path} takes recordings alone: for live audio connect to the WebSocket "
        "/v1/realtime, which speaks OpenAI's Realtime API; recordings are sent here by POST"
    )


def _plan(request: web.Request) -> ListenPlan:
    """How the query is carried out; it is known before a byte of the audio is read."""
    has_times = request.app[CONFIG].timestamps != "none"
    transcriber = request.app[TRANSCRIBER]
    asked = read_query(request.query)
    planned = plan(asked, request.app[ENGINE].info, transcriber.server_info, has_times)
    transcriber.check(planned.options)
    return planned


class ListenDoor(requests.NotedDoor):
    """Audio that may be raw samples, and whose bytes are hashed while they pass.

    Args:
        media_type: of raw samples; "": the bytes say themselves what they are.
    """

    def __init__(
        self, request: web.Request, stack: contextlib.AsyncExitStack, media_type: str
    ) -> None:
        super().__init__(request, stack)
        self._media_type = media_type
        self._digest = hashlib.sha256()
        self._is_hashed = False  # whether the digest takes the bytes, now or as they pass
        self._has_all_bytes = False  # whether it has taken the last one

    async def received(self, audio: AsyncIterator[bytes]) -> Source:
        self._is_hashed = True
        return await raw_pcm.without_raw(self._passing(audio), self._media_type)

    async def located(self, url: str | DataUri) -> Source:
        source = await super().located(url)
        return await self.received(source) if isinstance(source, AsyncIterator) else source

    def with_hash(self, answer: AnswerDetails) -> AnswerDetails:
        """`answer` with the hash of the bytes; without it where not all were read."""
        known = self._digest.hexdigest() if self._has_all_bytes else ""
        return answer.model_copy(update={"sha256": known})

    async def hashed(self, source: Source) -> Source:
        """`source`, which is hashed while it passes, or has been: a file of a form, or a path."""
        if self._is_hashed:
            return source
        if isinstance(source, AsyncIterator):
            return await self.received(source)
        await run_in_thread(_read, source, self._digest)
        self._has_all_bytes = True
        return source

    async def _passing(self, audio: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for data in audio:
            self._digest.update(data)
            yield data
        self._has_all_bytes = True


def _read(file: BinaryIO, digest: hashlib._Hash) -> None:
    file.seek(0)
    while data := file.read(READ_BYTES):
        digest.update(data)
    file.seek(0)


async def _submitted(
    request: web.Request,
    stack: contextlib.AsyncExitStack,
    door: ListenDoor,
    source: Source,
    planned: ListenPlan,
) -> web.Response:
    """Keep the audio, and answer before it is transcribed."""
    webhook = _webhook(planned.callback or "", request.app[CONFIG].allow_private_urls)
    audio = source if door.url is None else door.url
    place, fingerprint = await kept_after_all(request, stack, audio, planned.answer)
    told = door.with_hash(planned.answer) if door.url is None else planned.answer
    job = await request.app[JOBS].submit(
        Submission(
            audio=place,
            options=planned.options,
            client=request[CLIENT],
            dialect=NAME,
            fingerprint=fingerprint,
            webhook=webhook,
            extra={DETAILS: told.dumped()},
        )
    )
    headers = server_headers(request) | {OWN_ID: job.public_id}
    accepted = Accepted(request_id=job.public_id)
    return web.json_response(
        text=accepted.model_dump_json(), headers=headers | warning_header(planned.warnings)
    )


def _webhook(callback: str, allow_private: bool) -> Webhook:
    """The webhook that a callback is; a user and password in its URL become a header.

    Raises:
        BadUrl, Forbidden: nothing can be posted there.
    """
    try:
        target: URL = checked_url(callback, allow_private)
    except (BadUrl, Forbidden) as error:
        raise type(error)(f"callback: {error.message}", "callback") from error
    if target.user is None and target.password is None:
        return Webhook(callback)
    secret = f"{target.user or ''}:{target.password or ''}".encode()
    headers = {"Authorization": f"Basic {base64.b64encode(secret).decode()}"}
    return Webhook(str(target.with_user(None)), headers=headers)


def _text(found: dict[str, object]) -> str:
    return json_text(found, ensure_ascii=False)
