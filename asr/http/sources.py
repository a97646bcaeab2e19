"""A request's audio, by any door: body, multipart, URL, allowed path, data URI."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import os
import stat
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes, urlsplit

import aiohttp
from aiohttp import web

from asr.audio.streams import Source, stream_of
from asr.concurrency import WaitBudget
from asr.errors import BadRequest, BadUrl, BodyTimeout, Forbidden, NotFound, TooLarge
from asr.outbound.fetch import Outbound, shown

IN_MEMORY_BYTES = 16 * 2**20  # an uploaded file is kept in memory up to here
FIELD_BYTES = 2**20  # of all text fields of a form
PATH_BYTES = 4096  # of the longest path, PATH_MAX of Linux
FIELDS = 100  # parts of one form
PAYLOAD_ERRORS = (
    aiohttp.ClientPayloadError,
    aiohttp.http_exceptions.HttpProcessingError,
    web.RequestPayloadError,
)


@dataclass(frozen=True)
class BodyLimits:
    max_bytes: int
    timeout_s: float  # seconds for the whole body


@dataclass
class Form:
    """A multipart form: its text fields, and its file if there is one."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    file: Source | None = None


async def body(request: web.Request, limits: BodyLimits) -> AsyncIterator[bytes]:
    """The request's body as it arrives, whatever its content type.

    Raises:
        TooLarge, BodyTimeout, BadRequest: while reading, as soon as it is known.
    """
    if request.content_length is not None:
        _check_size(request.content_length, limits)
    patience = WaitBudget(limits.timeout_s)
    received = 0
    while data := await _next(request, patience, limits):
        received += len(data)
        _check_size(received, limits)
        yield data


async def _next(request: web.Request, patience: WaitBudget, limits: BodyLimits) -> bytes:
    try:
        async with patience.waiting():
            return await request.content.readany()
    except TimeoutError as error:
        raise _too_slow(limits) from error
    except PAYLOAD_ERRORS as error:
        request.content.feed_eof()  # else the server reads on, and logs the error as its own
        raise BadRequest(
            f"the body is not what its headers announce, send it again: {_line(error)}"
        ) from error


async def form(
    request: web.Request,
    limits: BodyLimits,
    stack: contextlib.AsyncExitStack,
    file_name: str = "file",
) -> Form:
    """Read a multipart form; the first part named `file_name` is its file.

    Raises:
        TooLarge, BodyTimeout, BadRequest: while reading, as soon as it is known.
    """
    if request.content_length is not None:
        _check_size(request.content_length, limits)
    try:
        async with asyncio.timeout(limits.timeout_s):
            return await _read_form(request, limits, stack, file_name)
    except TimeoutError as error:
        raise _too_slow(limits) from error
    except (ValueError, AssertionError, *PAYLOAD_ERRORS) as error:
        raise BadRequest(f"the multipart form cannot be read: {error}") from error


async def _read_form(
    request: web.Request, limits: BodyLimits, stack: contextlib.AsyncExitStack, file_name: str
) -> Form:
    result = Form()
    parts, held = 0, 0
    async for part in await request.multipart():
        parts += 1
        if parts > FIELDS:
            raise BadRequest(f"the form has more than {FIELDS} parts")
        if not isinstance(part, aiohttp.BodyPartReader) or part.name is None:
            raise BadRequest("a part of the form has no name, or holds parts itself")
        if part.name == file_name and part.filename is not None:
            if result.file is not None:
                raise BadRequest(f"the form has two parts {file_name!r}: send one", file_name)
            result.file = await _spool(part, limits, stack)
            continue
        text = await _read_text(part, FIELD_BYTES - held, file_name)
        held += len(text)
        result.fields.setdefault(part.name, []).append(text)
    return result


async def _read_text(part: aiohttp.BodyPartReader, room: int, file_name: str) -> str:
    data = bytearray()
    while chunk := await part.read_chunk():
        data += chunk
        if len(data) > room:
            if part.filename is not None:
                raise _misnamed(part, file_name)
            raise TooLarge(
                f"the form's text fields have more than {FIELD_BYTES} bytes with {part.name!r}: "
                f"send audio as the part {file_name!r}, with a file name"
            )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _misnamed(part, file_name) from error


def _misnamed(part: aiohttp.BodyPartReader, file_name: str) -> BadRequest:
    """A file, most likely the audio, that is no part `file_name`, or has no file name."""
    kind = "is not UTF-8 text" if part.filename is None else "is a file"
    return BadRequest(
        f"the form field {part.name!r} {kind}: if it is the audio, send it as {file_name!r}, "
        "with a file name",
        part.name,
    )


async def _spool(
    part: aiohttp.BodyPartReader, limits: BodyLimits, stack: contextlib.AsyncExitStack
) -> Source:
    """The part's bytes, in memory if they are few, else in a file without a name."""
    held: list[bytes] = []
    received = 0
    spooled: BinaryIO | None = None
    while chunk := await part.read_chunk(256 * 1024):
        received += len(chunk)
        _check_size(received, limits)
        if spooled is None and received > IN_MEMORY_BYTES:
            spooled = stack.enter_context(tempfile.TemporaryFile())
            await asyncio.to_thread(spooled.writelines, held)
            held = []
        if spooled is None:
            held.append(bytes(chunk))
        else:
            await asyncio.to_thread(spooled.write, chunk)
    if spooled is None:
        return stream_of(held)
    spooled.flush()
    return spooled


def locate(
    url: str,
    outbound: Outbound,
    audio_root: Path | None,
    limits: BodyLimits,
    stack: contextlib.AsyncExitStack,
) -> Source:
    """What `url` names: an http(s) URL, a `data:` URI, or a path inside `audio_root`.

    Raises:
        BadUrl, Forbidden, NotFound, TooLarge: at once for paths, else while reading.
    """
    scheme = url.partition(":")[0].lower()
    if scheme in {"http", "https"}:
        fetched = outbound.fetch(url)
        stack.push_async_callback(fetched.aclose)
        return fetched
    if scheme == "data":
        return _data_stream(url, limits)
    if scheme == "file":
        url = _file_path(url)
    elif "://" in url:
        raise BadUrl(f"cannot fetch {shown(url)!r}: use http, https, data or a local path")
    return stack.enter_context(_open(url, audio_root, limits))


async def _data_stream(uri: str, limits: BodyLimits) -> AsyncIterator[bytes]:
    yield await asyncio.to_thread(_data, uri, limits)


def _data(uri: str, limits: BodyLimits) -> bytes:
    """The bytes of a `data:` URI (RFC 2397)."""
    header, comma, data = uri.partition(",")
    if not comma:
        raise BadUrl("the data URI has no comma: write data:audio/wav;base64,...")
    _check_size(len(data) * 3 // 4, limits)
    if not header.lower().endswith(";base64"):
        return unquote_to_bytes(data)
    try:
        return base64.b64decode(unquote_to_bytes(data), validate=True)
    except binascii.Error as error:
        raise BadUrl(f"the data URI is not base64: {error}") from error


def _file_path(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise BadUrl(f"{shown(url)!r} is not a URL: write file:///path") from error
    if parts.netloc not in {"", "localhost"}:
        raise BadUrl("a file: URL may not name another host: write file:///path")
    return unquote_to_bytes(parts.path).decode("utf-8", "surrogateescape")


def _open(path: str, root: Path | None, limits: BodyLimits) -> BinaryIO:
    """Open a regular file that really lies inside `root`, links followed."""
    if root is None:
        raise Forbidden(
            "local paths are not allowed here: set AUDIO_ROOT on the server to the directory "
            "that may be read, or send the file's bytes"
        )
    if len(path) > PATH_BYTES:
        raise BadUrl(f"the path has {len(path)} characters, the limit is {PATH_BYTES}")
    try:
        real = Path(os.path.realpath(root / path))
    except ValueError as error:  # a NUL byte, half a surrogate pair
        raise BadUrl(f"{path!r} is not a path: give the name of a file in AUDIO_ROOT") from error
    if not real.is_relative_to(os.path.realpath(root)):
        raise Forbidden(f"{path} lies outside AUDIO_ROOT: give a path inside it")
    try:
        descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFound(f"there is no file at {path}: check its name") from error
    except OSError as error:
        raise Forbidden(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Forbidden(f"{path} is not a regular file: give the name of an audio file")
        _check_size(status.st_size, limits)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _check_size(received: int, limits: BodyLimits) -> None:
    if received > limits.max_bytes:
        raise TooLarge(
            f"the audio has {received} bytes or more, the limit is "
            f"MAX_BODY_MB={limits.max_bytes / 2**20:g}: send a compressed format or parts"
        )


def _too_slow(limits: BodyLimits) -> BodyTimeout:
    return BodyTimeout(
        f"the body did not arrive within BODY_TIMEOUT_S={limits.timeout_s:g} seconds: "
        "send it faster, in parts, or as a URL"
    )
