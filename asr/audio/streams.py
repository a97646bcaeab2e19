"""Sources of audio: streams of bytes and open files, read, chained and restarted."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Iterable
from typing import BinaryIO

from asr.concurrency import ThreadPool, end_tasks
from asr.errors import ServerError
from asr.resources import spool
from asr.resources.spool import Spool

log = logging.getLogger(__name__)

Source = AsyncIterator[bytes] | BinaryIO  # a stream, or an open file that can seek

KEPT_IN_MEMORY = (
    2 * 2**20
)  # What is to be read again is in memory up to so many bytes, then in a file.
MOST_KEPT = 64 * 2**20  # A stream of which more bytes are read cannot begin again.
AGAIN_BYTES = 256 * 1024  # At most so many bytes are read from that file at a time.


async def read_at_least(stream: AsyncIterator[bytes], size: int) -> bytes:
    """Read `size` bytes or more from `stream`; fewer only where it ends."""
    parts, have = [], 0
    while have < size:
        try:
            data = await anext(stream)
        except StopAsyncIteration:
            break
        parts.append(data)
        have += len(data)
    return b"".join(parts)


async def chained(head: bytes, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield `head`, unless it is empty, then the rest of its stream."""
    if head:
        yield head
    async for data in stream:
        yield data


async def stream_of(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Yield bytes that are already in memory, as a stream."""
    for chunk in chunks:
        yield chunk


def from_start(file: BinaryIO) -> Source:
    """Return an open file from its start; one in memory becomes a stream."""
    file.seek(0)
    return stream_of([file.getvalue()]) if isinstance(file, io.BytesIO) else file


class Rewindable(AsyncIterator[bytes]):
    """A stream that can begin again once, as long as it keeps what is read.

    A reader that is cancelled loses nothing of what is kept.
    """

    def __init__(self, stream: AsyncIterator[bytes], threads: ThreadPool) -> None:
        self._stream = stream
        self._threads = threads
        self._next: asyncio.Future[bytes | None] | None = None  # None: the end
        self._size = 0  # bytes kept
        self._memory: list[bytes] = []
        self._spool: Spool | None = None
        self._is_writing = False
        self.can_begin_again = True

    async def aclose(self) -> None:
        if self._next is not None:
            await end_tasks(self._next)
        self.release()

    def release(self) -> None:
        """Keep nothing any more."""
        self.can_begin_again = False
        if not self._is_writing:
            self._forget()

    async def __anext__(self) -> bytes:
        if self._next is None:
            self._next = asyncio.ensure_future(self._read())
        data = await asyncio.shield(self._next)
        self._next = None
        if data is None:
            raise StopAsyncIteration
        if self.can_begin_again:
            await self._keep(data)
        return data

    async def again(self) -> AsyncIterator[bytes]:
        """Yield all of the stream: first what is kept, then the rest."""
        self.can_begin_again = False
        for data in self._memory:
            yield data
        place = 0
        while self._spool is not None:
            data = await self._threads.run(spool.read_at, self._spool.file, AGAIN_BYTES, place)
            if not data:
                break
            place += len(data)
            yield data
        self._forget()
        async for data in self:
            yield data

    async def _read(self) -> bytes | None:
        """Read the next bytes of the stream; None at its end."""
        try:
            return await anext(self._stream)
        except StopAsyncIteration:
            return None

    async def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= KEPT_IN_MEMORY:
            self._memory.append(data)
            return
        self._is_writing = True
        try:
            if self._size > MOST_KEPT:
                self.can_begin_again = False
            else:
                self._spool = self._spool or Spool()
                await self._threads.run(self._spool.write, data)
        except ServerError as failure:
            log.warning("what was read of a stream is not kept: %s", failure.message)
            self.can_begin_again = False
        finally:
            self._is_writing = False
            if not self.can_begin_again:
                self._forget()

    def _forget(self) -> None:
        self._memory.clear()
        if self._spool is not None:
            self._spool.file.close()
            self._spool = None
