"""Keeps the audio of a request that becomes a job, whichever way it comes."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import BinaryIO, TypeVar

from aiohttp import web
from pydantic import BaseModel

from asr.audio import mp3, wav
from asr.audio.streams import Source, stream_of
from asr.concurrency import run_in_thread
from asr.errors import BadAudio, StoreUnavailable
from asr.http import requests, sources
from asr.http.app_keys import CONFIG, JOBS
from asr.http.bodies.json_object import DataUri
from asr.http.bodies.multipart import Upload
from asr.http.local_files import open_inside
from asr.http.sources import body_limits
from asr.jobs.job import Json
from asr.outbound.fetch import checked_url

Parameters = TypeVar("Parameters", bound=BaseModel)

READ_BYTES = 2**20  # So much of a form's file is read at once.
HEAD_BYTES = 64 * 1024  # The duration is read from so many bytes, where they tell it.
USUAL_BYTES = 16_000  # Otherwise a second is taken to have so many bytes: 128 kbit/s.
LEAST_BYTES = 200  # A header is not believed that claims a second in fewer bytes.


async def kept(
    request: web.Request, stack: contextlib.AsyncExitStack, kind: type[Parameters]
) -> tuple[Json, Parameters, str]:
    """Keep a request's audio until its job has ended; a URL or a path stays what it is.

    Where the stack is left with an error, nothing is kept: the job is to be submitted before
    its end, and no later.

    Returns:
        Where the audio is, the parameters, and a fingerprint of both.

    Raises:
        CallerError: the audio cannot be had.
        StorageFull, StorageFailed, OutOfResources: it cannot be kept.
        StoreUnavailable: no job can be kept now.
        pydantic.ValidationError: a parameter cannot be used.
    """
    await request.app[JOBS].ready()
    door = Keep(request, stack)
    _, parameters = await requests.read(request, stack, kind, door)
    return door.audio, parameters, door.fingerprint(parameters)


async def kept_after_all(
    request: web.Request,
    stack: contextlib.AsyncExitStack,
    audio: Source | str | DataUri,
    parameters: BaseModel,
) -> tuple[Json, str]:
    """Keep audio that might have been transcribed at once, its bytes or its URL, as `kept` does."""
    await request.app[JOBS].ready()
    door = Keep(request, stack)
    if isinstance(audio, str | DataUri):
        await door.located(audio)
    else:
        await door.received(audio if isinstance(audio, AsyncIterator) else _bytes_of(audio))
    return door.audio, door.fingerprint(parameters)


class Keep(requests.Door):
    """Audio that is kept for later; `audio` says where."""

    def __init__(self, request: web.Request, stack: contextlib.AsyncExitStack) -> None:
        self._request = request
        self._stack = stack
        self.audio: Json = {}
        self.digest = hashlib.sha256()
        self._head = b""
        self._size = 0

    async def received(self, audio: AsyncIterator[bytes]) -> Source:
        jobs = self._request.app[JOBS]
        self.audio = {"upload": await jobs.keep(self._counted(audio))}
        self._stack.push_async_exit(self._leave)
        if not self._size:
            raise BadAudio("the body is empty: send the bytes of an audio file")
        self.audio = {**self.audio, "seconds": self._seconds}
        return stream_of(())  # it is read later, by a worker

    async def located(self, url: str | DataUri) -> Source:
        if isinstance(url, DataUri) or url[:5].lower() == "data:":
            return await self.received(_stream(self._request, url, self._stack))
        self.digest.update(url.encode("utf-8", "surrogatepass"))
        config = self._request.app[CONFIG]
        if url.partition(":")[0].lower() in {"http", "https"}:
            checked_url(url, config.allow_private_urls)
            self.audio = {"url": url}
            return stream_of(())  # it is read later, by a worker
        path = sources.local_path(url)
        open_inside(config.audio_root, path, body_limits(self._request).check).close()
        self.audio = {"path": path}
        return stream_of(())  # it is read later, by a worker

    def upload(self, names: Sequence[str]) -> Upload:
        request = self._request
        return Upload(request, body_limits(request), self._stack, names, self.received)

    def settle(self, fields: Mapping[str, object]) -> None:
        """Do nothing: a job needs no place in the queue of other requests."""

    def fingerprint(self, parameters: BaseModel) -> str:
        """Of the audio and of what is asked of it."""
        asked = json.dumps(parameters.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(self.digest.digest() + asked.encode()).hexdigest()

    async def _counted(self, audio: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for data in audio:
            self.digest.update(data)
            self._size += len(data)
            if len(self._head) < HEAD_BYTES:
                self._head += data[:HEAD_BYTES]
            yield data

    @property
    def _seconds(self) -> float:
        """The duration, as far as it is known before anything is decoded."""
        header = wav.read_header(self._head)
        found = mp3.seconds(self._head) if header is None else header.seconds
        second_bytes = USUAL_BYTES if header is None else header.second_bytes
        seconds = self._size / second_bytes if found is None else found
        return round(min(seconds, self._size / LEAST_BYTES), 3)

    async def _leave(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,  # noqa: ARG002
    ) -> bool:
        """Remove what was kept for a job that was not submitted.

        Where the store did not answer, or the caller left meanwhile, the job may be there: a
        file that no job has is removed later.
        """
        is_refused = isinstance(error, Exception)
        if isinstance(error, StoreUnavailable):
            is_refused = error.changed_nothing
        if kind is not None and is_refused:
            await self._request.app[JOBS].drop(self.audio)
        return False


def _stream(
    request: web.Request, url: str | DataUri, stack: contextlib.AsyncExitStack
) -> AsyncIterator[bytes]:
    found = sources.locate(request, url, stack)
    assert isinstance(found, AsyncIterator)
    return found


async def _bytes_of(file: BinaryIO) -> AsyncIterator[bytes]:
    while data := await run_in_thread(file.read, READ_BYTES):
        yield data
