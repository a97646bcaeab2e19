"""Buffers a stream as fast as it arrives: a slow model slows no caller."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import BinaryIO

from asr.concurrency import ThreadPool, end_tasks
from asr.errors import ServerError
from asr.resources import spool

log = logging.getLogger(__name__)

MEMORY_BYTES = 2**20  # Up to so many unread bytes are in memory, and no file is opened.
FILE_BYTES = 256 * 2**20  # Up to so many unread bytes are in the file; then the sender waits.
READ_BYTES = 256 * 1024  # At most so many bytes are read from the file at a time.


@contextlib.asynccontextmanager
async def buffered(
    stream: AsyncIterator[bytes], threads: ThreadPool
) -> AsyncIterator[StreamBuffer]:
    """Read `stream` into a buffer in a task of its own; yield the buffer.

    A failure of `stream` is raised to the reader at once, before bytes that are still unread.
    """
    async with contextlib.AsyncExitStack() as stack:
        buffer = StreamBuffer(stream, threads, stack)
        try:
            yield buffer
        finally:
            await buffer.close()


class StreamBuffer(AsyncIterator[bytes]):
    """Holds unread bytes: a few in memory, more in a file used as a ring.

    Where the file cannot be written, the sender waits for the reader.
    """

    def __init__(
        self, stream: AsyncIterator[bytes], threads: ThreadPool, stack: contextlib.AsyncExitStack
    ) -> None:
        self._threads = threads
        self._stack = stack
        self._memory: list[bytes] = []
        self._held = 0  # bytes in memory
        self._file: BinaryIO | None = None
        self._uses_file = True  # until that fails
        self._written = self._read = 0  # bytes that went through the file
        self._has_ended = False
        self._failure: Exception | None = None
        self._changed = asyncio.Condition()
        self._filler = asyncio.create_task(self._fill(stream))

    async def close(self) -> None:
        await end_tasks(self._filler)

    def when_filled(self, call: Callable[[], None]) -> None:
        """Call `call` once no more is read: all is here, or the buffer is closed."""
        self._filler.add_done_callback(lambda _: call())

    async def __anext__(self) -> bytes:
        if data := await self._next():
            return data
        raise StopAsyncIteration

    async def wait_until_full(self) -> None:
        """Wait until the stream has ended, or the buffer has no more room."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._has_ended or not self._has_room())
        if self._failure is not None:
            raise self._failure

    async def _fill(self, stream: AsyncIterator[bytes]) -> None:
        try:
            async for data in stream:
                await self._put(data)
        except Exception as error:  # of any kind: it is raised to the reader
            self._failure = error
        self._has_ended = True
        await self._notify()

    async def _put(self, data: bytes) -> None:
        is_much = self._file is not None or self._held + len(data) > MEMORY_BYTES
        if is_much and self._uses_file:
            data = await self._put_into_file(data)
        if data:
            await self._hold(data)

    async def _put_into_file(self, data: bytes) -> bytes:
        """Write `data` to the file as soon as it has room; return what it does not take."""
        left = memoryview(data)
        try:
            if self._file is None:
                self._file = self._stack.enter_context(spool.opened())
            while left:
                left = left[await self._write_some(left) :]
        except ServerError as failure:
            log.warning("an upload is read no faster than it is decoded: %s", failure.message)
            self._uses_file = False
            await self._notify()
        return bytes(left)

    async def _write_some(self, data: memoryview) -> int:
        assert self._file is not None
        async with self._changed:
            await self._changed.wait_for(self._has_room)
        place = self._written % FILE_BYTES
        room = min(FILE_BYTES - place, FILE_BYTES - (self._written - self._read))
        size = await self._threads.run(spool.write_at, self._file, data[:room], place)
        self._written += size
        await self._notify()
        return size

    async def _hold(self, data: bytes) -> None:
        """Keep `data` in memory, once there is room and what the file has is read."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._fits(len(data)))
        self._memory.append(data)
        self._held += len(data)
        await self._notify()

    def _fits(self, size: int) -> bool:
        is_first = not self._held or self._held + size <= MEMORY_BYTES
        return is_first and self._read == self._written

    async def _next(self) -> bytes:
        async with self._changed:
            await self._changed.wait_for(self._can_be_read)
        if self._failure is not None:
            raise self._failure
        if self._memory:
            data = b"".join(self._memory)
            self._memory.clear()
            self._held = 0
            await self._notify()
            return data
        if self._read == self._written:
            return b""
        assert self._file is not None
        place = self._read % FILE_BYTES
        size = min(READ_BYTES, self._written - self._read, FILE_BYTES - place)
        data = await self._threads.run(spool.read_at, self._file, size, place)
        self._read += len(data)
        await self._notify()
        return data

    def _has_room(self) -> bool:
        return self._uses_file and self._written - self._read < FILE_BYTES

    def _can_be_read(self) -> bool:
        return bool(self._memory) or self._read < self._written or self._has_ended

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
