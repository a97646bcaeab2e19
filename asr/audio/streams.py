"""Sources of audio: streams of bytes and open files, read, chained and restarted."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterable
from typing import BinaryIO

Source = AsyncIterator[bytes] | BinaryIO  # a stream, or an open file that can seek


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
