"""A line between a program and a server, which a test cuts, stops and mends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.conftest import free_port


class Line:
    """Passes on what a port of its own gets to another port, and back, while it is whole."""

    def __init__(self, far: int) -> None:
        self.port = free_port()
        self.far = far
        self.passes = asyncio.Event()
        self.passes.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def mend(self) -> None:
        """Take connections again, and pass on what waits."""
        self.passes.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._taken, "127.0.0.1", self.port)

    def stop(self) -> None:
        """Pass nothing on; who sends waits for an answer, as from a frozen server."""
        self.passes.clear()

    async def cut(self) -> None:
        """End all connections and refuse others, as where a server has died."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far_writer: asyncio.StreamWriter | None = None
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self.passes.wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.far)
            await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))
        for each in (writer, far_writer):
            if each is not None:
                each.transport.abort()
        self._tasks.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self.passes.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


@contextlib.asynccontextmanager
async def line_to(far: int) -> AsyncIterator[Line]:
    line = Line(far)
    await line.mend()
    try:
        yield line
    finally:
        await line.cut()
