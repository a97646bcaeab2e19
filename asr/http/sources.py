"""Where a request's audio comes from: its body, a URL, an allowed path or a data URI."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

import aiohttp
from aiohttp import web

from asr.audio.streams import Source
from asr.concurrency import WaitBudget
from asr.errors import BadRequest, BadUrl, BodyTimeout, TooLarge
from asr.http.app_keys import CONFIG, OUTBOUND
from asr.http.local_files import file_path, open_inside
from asr.outbound.fetch import shown
from asr.text import quoted

PAYLOAD_ERRORS = (
    aiohttp.ClientPayloadError,
    aiohttp.http_exceptions.HttpProcessingError,
    web.RequestPayloadError,
)


@dataclass(frozen=True)
class BodyLimits:
    """How large a body may be, and how long it may take to arrive."""

    max_bytes: int
    timeout_s: float  # seconds of waiting for the whole body

    def check(self, received: int, what: str = "the audio") -> None:
        """Raise TooLarge where `received` bytes of `what` are too many."""
        if received > self.max_bytes:
            raise TooLarge(
                f"{what} has {received} bytes or more, the limit is "
                f"MAX_BODY_MB={self.max_bytes / 2**20:g}: send a compressed format or parts"
            )

    def too_slow(self, what: str = "the body") -> BodyTimeout:
        return BodyTimeout(
            f"{what} did not arrive within BODY_TIMEOUT_S={self.timeout_s:g} seconds: "
            "send it faster, in parts, or as a URL"
        )


def body_limits(request: web.Request) -> BodyLimits:
    """The limits that the server's settings set."""
    config = request.app[CONFIG]
    return BodyLimits(config.max_body_bytes, config.body_timeout_s)


async def body(request: web.Request, limits: BodyLimits) -> AsyncIterator[bytes]:
    """The request's body as it arrives, whatever its content type.

    Raises:
        TooLarge, BodyTimeout, BadRequest: while reading, as soon as it is known.
    """
    if request.content_length is not None:
        limits.check(request.content_length)
    budget = WaitBudget(limits.timeout_s)
    received = 0
    while data := await _next(request, budget, limits):
        received += len(data)
        limits.check(received)
        yield data


async def _next(request: web.Request, budget: WaitBudget, limits: BodyLimits) -> bytes:
    try:
        async with budget.waiting():
            return await request.content.readany()
    except TimeoutError as error:
        raise limits.too_slow() from error
    except PAYLOAD_ERRORS as error:
        request.content.feed_eof()  # else the server reads on, and logs the error as its own
        raise BadRequest(
            f"the body does not match its headers, send it again: {_line(error)}"
        ) from error


def locate(request: web.Request, url: str, stack: contextlib.AsyncExitStack) -> Source:
    """Open what `url` names: an http(s) URL, a `data:` URI, or a path inside AUDIO_ROOT.

    Raises:
        BadUrl, Forbidden, NotFound, TooLarge: at once for paths, else while reading.
    """
    limits, root = body_limits(request), request.app[CONFIG].audio_root
    scheme = url.partition(":")[0].lower()
    if scheme in {"http", "https"}:
        fetched = request.app[OUTBOUND].fetch(url)
        stack.push_async_callback(fetched.aclose)
        return fetched
    if scheme == "data":
        return _data_stream(url, limits)
    if scheme == "file":
        url = file_path(url)
    elif "://" in url:
        raise BadUrl(f"cannot fetch {quoted(shown(url))}: use http, https, data or a local path")
    return stack.enter_context(open_inside(root, url, limits.check))


async def _data_stream(uri: str, limits: BodyLimits) -> AsyncIterator[bytes]:
    yield await asyncio.to_thread(_data, uri, limits)


def _data(uri: str, limits: BodyLimits) -> bytes:
    """The bytes of a `data:` URI (RFC 2397)."""
    header, comma, data = uri.partition(",")
    if not comma:
        raise BadUrl("the data URI has no comma: write data:audio/wav;base64,...")
    limits.check(len(data) * 3 // 4)
    if not header.lower().endswith(";base64"):
        return unquote_to_bytes(data)
    try:
        return base64.b64decode(unquote_to_bytes(data), validate=True)
    except binascii.Error as error:
        raise BadUrl(f"the data URI is not base64: {error}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
