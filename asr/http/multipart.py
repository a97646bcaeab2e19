"""A multipart form in two goes: what comes before its file, and its file with the rest."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import cast

import aiohttp
from aiohttp import web

from asr.concurrency import WaitBudget
from asr.errors import BadRequest, BodyTimeout, TooLarge
from asr.http import sources
from asr.http.sources import PAYLOAD_ERRORS, BodyLimits, Form

READ_BYTES = 256 * 1024

Fields = dict[str, list[str]]
Part = aiohttp.MultipartReader | aiohttp.BodyPartReader


class Upload:
    """A form that is read up to its file first, so that its file may be heard as it arrives."""

    def __init__(
        self, request: web.Request, limits: BodyLimits, stack: contextlib.AsyncExitStack
    ) -> None:
        self._request = request
        self._limits = limits
        self._stack = stack
        self._parts: AsyncIterator[Part | None] = _no_parts()
        self._file: aiohttp.BodyPartReader | None = None

    @property
    def has_file(self) -> bool:
        """Whether the file comes next."""
        return self._file is not None

    async def before(self) -> Fields:
        """The fields before the file, all of them where there is none."""

        async def parts() -> AsyncIterator[Part | None]:
            self._parts = aiter(await self._request.multipart())
            async for part in self._parts:
                if _is_file(part):
                    self._file = cast(aiohttp.BodyPartReader, part)
                    return
                yield part

        return (await self._form(parts())).fields

    async def rest(self) -> Form:
        """The file, whole, and the fields after it."""

        async def parts() -> AsyncIterator[Part | None]:
            if self._file is not None:
                yield self._file
            async for part in self._parts:
                yield part

        return await self._form(parts())

    async def live(self, confirm: Callable[[Fields], None]) -> AsyncIterator[bytes]:
        """The file's bytes as they arrive; then the fields after it go to `confirm`."""
        assert self._file is not None
        patience, received = WaitBudget(self._limits.timeout_s), 0
        while chunk := await self._chunk(self._file, patience):
            received += len(chunk)
            if received > self._limits.max_bytes:
                raise TooLarge(
                    f"the file has {received} bytes or more, the limit is "
                    f"MAX_BODY_MB={self._limits.max_bytes / 2**20:g}: send it in parts"
                )
            yield chunk
        self._file = None
        confirm((await self.rest()).fields)

    async def _chunk(self, file: aiohttp.BodyPartReader, patience: WaitBudget) -> bytes:
        try:
            async with patience.waiting():
                return bytes(await file.read_chunk(READ_BYTES))
        except TimeoutError as error:
            raise BodyTimeout(
                "the file did not arrive within "
                f"BODY_TIMEOUT_S={self._limits.timeout_s:g} seconds: send it faster or in parts"
            ) from error
        except (ValueError, AssertionError, *PAYLOAD_ERRORS) as error:
            raise BadRequest(f"the multipart form cannot be read: {error}") from error

    async def _form(self, parts: AsyncIterator[Part | None]) -> Form:
        some = cast(web.Request, _SomeParts(self._request.content_length, parts))
        return await sources.form(some, self._limits, self._stack)


def merged(fields: Fields, more: Fields) -> Fields:
    return {name: fields.get(name, []) + more.get(name, []) for name in [*fields, *more]}


class _SomeParts:
    """As much of a request as `sources.form` reads, with some of its parts."""

    def __init__(self, content_length: int | None, parts: AsyncIterator[Part | None]) -> None:
        self.content_length = content_length
        self._parts = parts

    async def multipart(self) -> AsyncIterator[Part | None]:
        return self._parts


def _is_file(part: Part | None) -> bool:
    return (
        isinstance(part, aiohttp.BodyPartReader)
        and part.name == "file"
        and part.filename is not None
    )


async def _no_parts() -> AsyncIterator[Part | None]:
    return
    yield
