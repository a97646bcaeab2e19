"""Where a request's audio comes from: its body, a URL, an allowed path or a data URI."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import aiohttp
from aiohttp import web

from asr.audio import raw_pcm
from asr.audio.streams import Source, stream_of
from asr.concurrency import WaitBudget
from asr.errors import BadRequest, BadUrl, BodyTimeout, TooLarge
from asr.http.app_keys import BODY, CONFIG, OUTBOUND, RESERVATION
from asr.http.bodies.compression import encoding_of, inflated
from asr.http.bodies.json_object import DataUri
from asr.http.bodies.percent import unquoted
from asr.http.local_files import file_path, open_inside
from asr.outbound.fetch import shown
from asr.resources.memory_budget import Reservation
from asr.text import quoted

# A connection receives at most so many bytes in one turn of the event loop, and holds twice as
# many, while nobody reads its body; aiohttp holds 640 KiB: 6.4 GB of ten thousand connections.
UNREAD_BYTES = 4 * 1024
CHUNKED_BYTES = 32 * 1024  # It receives so many of a body that is read: a chunk may have one byte.
LENGTH_BYTES = 64 * 1024  # It receives so many of a body that is read and is not in chunks.
READ_BYTES = 64 * 1024  # It stops to receive where twice as many bytes wait to be read.
TURN_SECONDS = 0.002  # Reading a body lets others run after so many seconds.
URI_HEAD_CHARS = 1024  # The comma of a data URI is looked for in so many characters.
# How aiohttp receives: it would inflate bodies on the event loop, and it takes a sixteenth of the
# buffer's bytes as the number of chunks that it reads at once, each of which may have a byte only.
PARSER_SETTINGS: Mapping[str, Any] = MappingProxyType(
    {"auto_decompress": False, "read_bufsize": UNREAD_BYTES}
)
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
    reservation: Reservation | None = None  # of the memory that the body takes; None: unlimited

    def check(self, received: int, what: str = "the audio") -> None:
        """Raise TooLarge where `received` bytes of `what` are too many."""
        if received > self.max_bytes:
            raise TooLarge(
                f"{what} has {received} bytes or more, the limit is "
                f"MAX_BODY_MB={self.max_bytes / 2**20:g}: send a compressed format or parts"
            )

    def fits_in_memory(self, held: int) -> bool:
        """Reserve the memory for `held` bytes in all; return whether there is so much."""
        return self.reservation is None or self.reservation.has_grown(held)

    def hold(self, held: int) -> None:
        """Reserve the memory for `held` bytes in all.

        Raises:
            QueueFull, TooLarge: there is not so much.
        """
        if self.reservation is not None:
            self.reservation.grow(held)

    def too_slow(self, what: str = "the body") -> BodyTimeout:
        return BodyTimeout(
            f"{what} did not arrive within BODY_TIMEOUT_S={self.timeout_s:g} seconds: "
            "send it faster, in parts, or as a URL"
        )


def body_limits(request: web.Request) -> BodyLimits:
    """The limits that the server's settings set."""
    config = request.app[CONFIG]
    return BodyLimits(config.max_body_bytes, config.body_timeout_s, request.get(RESERVATION))


class Turn:
    """Lets others run where bytes are at hand so fast that reading them never waits."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    async def give(self) -> None:
        """Let others run, unless they could a moment ago."""
        if time.monotonic() - self._since > TURN_SECONDS:
            await asyncio.sleep(0)
            self._since = time.monotonic()


async def body(request: web.Request, limits: BodyLimits) -> AsyncIterator[bytes]:
    """The request's body as it arrives, inflated, whatever its content type.

    Where its beginning has been read ahead, it comes again.

    Raises:
        TooLarge, BodyTimeout, BadRequest, UnsupportedMedia: while reading, as soon as it is known.
    """
    encoding = encoding_of(request)
    if BODY in request:
        received = request[BODY]
    else:
        received = _received(request, limits)
        if encoding is not None:
            received = inflated(received, encoding, limits.check)
    async for data in received:
        yield data


async def _received(request: web.Request, limits: BodyLimits) -> AsyncIterator[bytes]:
    has_length = request.content_length is not None
    if request.content_length is not None:
        limits.check(request.content_length)
    receive_at_most(request.transport, LENGTH_BYTES if has_length else CHUNKED_BYTES)
    request.content.set_read_chunk_size(READ_BYTES)
    budget, turn, received = WaitBudget(limits.timeout_s), Turn(), 0
    try:
        while data := await _next(request, budget, limits):
            received += len(data)
            limits.check(received)
            yield data
            await turn.give()
    finally:
        receive_at_most(request.transport)


def receive_at_most(transport: asyncio.BaseTransport | None, size: int = UNREAD_BYTES) -> None:
    """Let a connection receive at most `size` bytes in one turn of the event loop."""
    if transport is not None:
        transport.max_size = size  # type: ignore[attr-defined]  # asyncio's, of its sockets


async def _next(request: web.Request, budget: WaitBudget, limits: BodyLimits) -> bytes:
    try:
        async with budget.waiting():
            return await request.content.readany()
    except TimeoutError as error:
        raise limits.too_slow() from error
    except PAYLOAD_ERRORS as error:
        request.content.feed_eof()  # else the server reads on, and logs the error as its own
        raise BadRequest(
            "the body does not match its headers: it ended early, or one of its chunks is broken; "
            "send it again"
        ) from error


def locate(request: web.Request, url: str | DataUri, stack: contextlib.AsyncExitStack) -> Source:
    """Open what `url` names: an http(s) URL, a `data:` URI, or a path inside AUDIO_ROOT.

    Raises:
        BadUrl, Forbidden, NotFound, TooLarge: at once for paths, else while reading.
    """
    limits, root = body_limits(request), request.app[CONFIG].audio_root
    if isinstance(url, DataUri):
        return _data_stream(url.pieces, limits)
    scheme = url.partition(":")[0].lower()
    if scheme in {"http", "https"}:
        fetched = request.app[OUTBOUND].fetch(url)
        stack.push_async_callback(fetched.aclose)
        return fetched
    if scheme == "data":
        return _data_stream([url], limits)
    return stack.enter_context(open_inside(root, local_path(url), limits.check))


def local_path(url: str) -> str:
    """The path that `url` is, or that a `file:` URL names.

    Raises:
        BadUrl: it has another scheme.
    """
    if url.partition(":")[0].lower() == "file":
        return file_path(url)
    if "://" in url:
        raise BadUrl(f"cannot fetch {quoted(shown(url))}: use http, https, data or a local path")
    return url


async def _data_stream(uri: Sequence[str], limits: BodyLimits) -> AsyncIterator[bytes]:
    media_type = uri[0][:URI_HEAD_CHARS].partition(",")[0].partition(":")[2]
    data = stream_of(await asyncio.to_thread(_data, uri, limits))
    async for piece in await raw_pcm.without_raw(data, media_type):
        yield piece


def _data(uri: Sequence[str], limits: BodyLimits) -> list[bytes]:
    """The bytes of a `data:` URI (RFC 2397); both in pieces."""
    head, comma, data = uri[0][:URI_HEAD_CHARS].partition(",")
    if not comma:
        raise BadUrl("the data URI has no comma: write data:audio/wav;base64,...")
    limits.check((sum(map(len, uri)) - len(head) - 1) * 3 // 4)
    rest = (piece.encode() for piece in (data, uri[0][URI_HEAD_CHARS:], *uri[1:]))
    pieces = unquoted(rest)
    return _from_base64(pieces) if head.lower().endswith(";base64") else list(pieces)


def _from_base64(pieces: Iterable[bytes]) -> list[bytes]:
    decoded, rest = [], b""
    try:
        for piece in pieces:
            rest += piece
            whole = max(0, len(rest) - 1) // 4 * 4  # the end of all, with its =, is kept for last
            decoded.append(base64.b64decode(rest[:whole], validate=True))
            if len(decoded[-1]) != whole // 4 * 3:
                raise binascii.Error("bytes follow its end")
            rest = rest[whole:]
        return [*decoded, base64.b64decode(rest, validate=True)]
    except binascii.Error as error:
        raise BadUrl(
            "the data URI is not base64: a character in it is wrong, or its end is missing"
        ) from error
