"""Connect as clients that crash: in mid-upload, in mid-answer, in the head, or with garbage."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable

from benchmark.soak.clips import Clip

ABORT = struct.pack("ii", 1, 0)  # Linger for 0 s: closing sends a reset instead of an end.
ANSWER_S = 60.0  # A crashing client waits at most so many seconds for the start of an answer.

Crash = Callable[["Connection", Clip], Awaitable[None]]


class Connection:
    """Sends bytes to the server and vanishes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def abort(self) -> None:
        """Close so that the server receives a reset."""
        opened = self.writer.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        self.writer.close()


async def leaves_mid_upload(connection: Connection, clip: Clip) -> None:
    await connection.send(head("/asr", len(clip.data)) + clip.data[: len(clip.data) // 2])


async def is_cut_off_mid_upload(connection: Connection, clip: Clip) -> None:
    await connection.send(head("/asr", len(clip.data)) + clip.data[: len(clip.data) // 2])
    connection.abort()


async def leaves_before_the_answer(connection: Connection, clip: Clip) -> None:
    await connection.send(head("/asr", len(clip.data)) + clip.data)


async def is_cut_off_mid_answer(connection: Connection, clip: Clip) -> None:
    await connection.send(head("/asr?stream=true", len(clip.data)) + clip.data)
    async with asyncio.timeout(ANSWER_S):
        await connection.reader.read(64)
    connection.abort()


async def leaves_in_the_head(connection: Connection, clip: Clip) -> None:
    await connection.send(head("/asr", len(clip.data))[:20])


async def sends_garbage(connection: Connection, clip: Clip) -> None:
    await connection.send(b"\x16\x03\x01" + clip.data[:500])
    async with asyncio.timeout(ANSWER_S):
        await connection.reader.read()


CRASHES: tuple[Crash, ...] = (
    leaves_mid_upload,
    is_cut_off_mid_upload,
    leaves_before_the_answer,
    is_cut_off_mid_answer,
    leaves_in_the_head,
    sends_garbage,
)


def head(path: str, length: int) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


async def crash(how: Crash, port: int, clip: Clip) -> None:
    """Connect and crash in one way; that the server hangs up first is no fault.

    Raises:
        OSError: the server accepts no connection.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(OSError, TimeoutError):
        await how(Connection(reader, writer), clip)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
