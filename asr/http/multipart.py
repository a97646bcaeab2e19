"""Multipart forms: read whole, or up to their file, which is then read as it arrives."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, TypeGuard

import aiohttp
from aiohttp import web

from asr.audio.streams import Source, stream_of
from asr.concurrency import WaitBudget
from asr.errors import BadRequest, TooLarge
from asr.http.sources import PAYLOAD_ERRORS, BodyLimits

FILE = "file"  # The part of this name is the audio.
READ_BYTES = 256 * 1024  # A file is read in blocks of at most so many bytes.
IN_MEMORY_BYTES = 16 * 2**20  # A larger file is kept on disk.
FIELD_BYTES = 2**20  # The text fields of a form together may have so many bytes.
MAX_PARTS = 100  # A form with more parts is refused.

Fields = dict[str, list[str]]
Part = aiohttp.MultipartReader | aiohttp.BodyPartReader


@dataclass
class Form:
    """A multipart form: its text fields, and its file if there is one."""

    fields: Fields = field(default_factory=dict)
    file: Source | None = None


class Upload:
    """A multipart form that is read whole, or up to its file.

    The file can then be transcribed while it arrives.

    Its methods raise TooLarge, BodyTimeout or BadRequest as soon as the form is known to be too
    large, too slow or broken.
    """

    def __init__(
        self, request: web.Request, limits: BodyLimits, stack: contextlib.AsyncExitStack
    ) -> None:
        self._request = request
        self._limits = limits
        self._stack = stack
        self._parts: AsyncIterator[Part | None] | None = None
        self._file: aiohttp.BodyPartReader | None = None

    @property
    def has_file(self) -> bool:
        """Whether the file comes next."""
        return self._file is not None

    async def whole(self) -> Form:
        """The whole form."""
        return await self._form(self._remaining())

    async def before(self) -> Fields:
        """The fields before the file; all of them where there is none."""

        async def parts() -> AsyncIterator[Part | None]:
            async for part in self._remaining():
                if _is_file(part):
                    self._file = part
                    return
                yield part

        return (await self._form(parts())).fields

    async def rest(self) -> Form:
        """The file, whole, and the fields after it."""

        async def parts() -> AsyncIterator[Part | None]:
            if self._file is not None:
                yield self._file
            async for part in self._remaining():
                yield part

        return await self._form(parts())

    async def live(self, confirm: Callable[[Fields], None]) -> AsyncIterator[bytes]:
        """The file's bytes as they arrive; then the fields after it go to `confirm`."""
        assert self._file is not None
        budget, received = WaitBudget(self._limits.timeout_s), 0
        while chunk := await self._chunk(self._file, budget):
            received += len(chunk)
            self._limits.check(received, "the file")
            yield chunk
        self._file = None
        confirm((await self.rest()).fields)

    async def _remaining(self) -> AsyncIterator[Part | None]:
        if self._parts is None:
            self._parts = aiter(await self._request.multipart())
        async for part in self._parts:
            yield part

    async def _chunk(self, file: aiohttp.BodyPartReader, budget: WaitBudget) -> bytes:
        with _broken_forms_named():
            try:
                async with budget.waiting():
                    return bytes(await file.read_chunk(READ_BYTES))
            except TimeoutError as error:
                raise self._limits.too_slow("the file") from error

    async def _form(self, parts: AsyncIterator[Part | None]) -> Form:
        if self._request.content_length is not None:
            self._limits.check(self._request.content_length)
        with _broken_forms_named():
            try:
                async with asyncio.timeout(self._limits.timeout_s):
                    return await _read(parts, self._limits, self._stack)
            except TimeoutError as error:
                raise self._limits.too_slow() from error


def merged(fields: Fields, more: Fields) -> Fields:
    """The values of both, by name, those of `more` last."""
    return {name: fields.get(name, []) + more.get(name, []) for name in [*fields, *more]}


@contextlib.contextmanager
def _broken_forms_named() -> Iterator[None]:
    """Turn aiohttp's errors about a broken form into ours."""
    try:
        yield
    except (ValueError, AssertionError, *PAYLOAD_ERRORS) as error:
        raise BadRequest(f"the multipart form cannot be read: {error}") from error


def _is_file(part: Part | None) -> TypeGuard[aiohttp.BodyPartReader]:
    return (
        isinstance(part, aiohttp.BodyPartReader) and part.name == FILE and part.filename is not None
    )


async def _read(
    parts: AsyncIterator[Part | None], limits: BodyLimits, stack: contextlib.AsyncExitStack
) -> Form:
    result = Form()
    count, held = 0, 0
    async for part in parts:
        count += 1
        if count > MAX_PARTS:
            raise BadRequest(f"the form has more than {MAX_PARTS} parts: send fewer")
        if not isinstance(part, aiohttp.BodyPartReader) or part.name is None:
            raise BadRequest("a part of the form has no name or contains other parts")
        if _is_file(part):
            if result.file is not None:
                raise BadRequest(f"the form has two parts {FILE!r}: send one", FILE)
            result.file = await _read_file(part, limits, stack)
            continue
        text = await _read_text(part, FIELD_BYTES - held)
        held += len(text)
        result.fields.setdefault(part.name, []).append(text)
    return result


async def _read_text(part: aiohttp.BodyPartReader, room: int) -> str:
    data = bytearray()
    while chunk := await part.read_chunk():
        data += chunk
        if len(data) > room:
            if part.filename is not None:
                raise _misnamed(part)
            raise TooLarge(
                f"the form's text fields up to {part.name!r} have more than {FIELD_BYTES} bytes: "
                f"send audio as the part {FILE!r}, with a file name"
            )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _misnamed(part) from error


def _misnamed(part: aiohttp.BodyPartReader) -> BadRequest:
    """The error for a file that is not sent as the part `file`; most likely it is the audio."""
    kind = "is not UTF-8 text" if part.filename is None else "is a file"
    return BadRequest(
        f"the form field {part.name!r} {kind}: if it is the audio, send it as {FILE!r}, "
        "with a file name",
        part.name,
    )


async def _read_file(
    part: aiohttp.BodyPartReader, limits: BodyLimits, stack: contextlib.AsyncExitStack
) -> Source:
    """The part's bytes, in memory if they are few, else in a file without a name."""
    held: list[bytes] = []
    received = 0
    on_disk: BinaryIO | None = None
    while chunk := await part.read_chunk(READ_BYTES):
        received += len(chunk)
        limits.check(received)
        if on_disk is None and received > IN_MEMORY_BYTES:
            on_disk = stack.enter_context(tempfile.TemporaryFile())
            await asyncio.to_thread(on_disk.writelines, held)
            held = []
        if on_disk is None:
            held.append(bytes(chunk))
        else:
            await asyncio.to_thread(on_disk.write, chunk)
    if on_disk is None:
        return stream_of(held)
    on_disk.flush()
    return on_disk
