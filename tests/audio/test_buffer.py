"""What goes through the spool comes out as it was, however fast either side is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import closing
from typing import BinaryIO
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.audio import buffer
from asr.concurrency import ThreadPool
from asr.errors import StorageFull, TooLarge
from tests.conftest import PATIENCE_SECONDS

PIECES = st.lists(st.binary(min_size=1, max_size=40), max_size=30)


async def through(pieces: list[bytes], reader_waits: bool) -> bytes:
    taken = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece
        taken.set()

    received = b""
    with closing(ThreadPool(2, "spool")) as threads:
        async with buffer.buffered(source(), threads) as stream:
            if reader_waits and sum(map(len, pieces)) <= buffer.FILE_BYTES:
                await taken.wait()
            async for data in stream:
                received += data
    return received


@given(pieces=PIECES, reader_waits=st.booleans())
@settings(max_examples=60)
def test_bytes_come_out_as_they_went_in(pieces: list[bytes], reader_waits: bool) -> None:
    with (
        patch.object(buffer, "MEMORY_BYTES", 50),
        patch.object(buffer, "FILE_BYTES", 64),
        patch.object(buffer, "READ_BYTES", 24),
    ):
        assert asyncio.run(through(pieces, reader_waits)) == b"".join(pieces)


async def test_the_sender_is_not_held_up_by_the_reader() -> None:
    taken = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        for number in range(32):
            yield bytes([number]) * 2**19
        taken.set()

    with closing(ThreadPool(2, "spool")) as threads:
        async with buffer.buffered(source(), threads) as stream:
            await asyncio.wait_for(taken.wait(), PATIENCE_SECONDS)
            received = b"".join([data async for data in stream])
    assert received == b"".join(bytes([number]) * 2**19 for number in range(32))


async def test_the_sources_failure_reaches_who_reads_or_waits_at_once() -> None:
    failed = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        yield b"some"
        failed.set()
        raise TooLarge("too much")

    with closing(ThreadPool(1, "spool")) as threads:
        async with buffer.buffered(source(), threads) as stream:
            await failed.wait()
            with pytest.raises(TooLarge):
                await stream.wait_until_full()
            with pytest.raises(TooLarge):
                await anext(stream)


async def test_a_reader_that_leaves_ends_the_source() -> None:
    is_closed = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        try:
            yield b"some"
            await asyncio.Event().wait()
        finally:
            is_closed.set()

    with closing(ThreadPool(1, "spool")) as threads:
        async with buffer.buffered(source(), threads) as stream:
            assert await anext(stream) == b"some"
        assert is_closed.is_set()


@pytest.mark.parametrize("count", [3, 10**9])
async def test_it_is_known_when_all_is_here_or_the_room_is_used_up(count: int) -> None:
    async def source() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield bytes(40)

    with (
        patch.object(buffer, "MEMORY_BYTES", 50),
        patch.object(buffer, "FILE_BYTES", 640),
        closing(ThreadPool(1, "spool")) as threads,
    ):
        async with buffer.buffered(source(), threads) as stream:
            await asyncio.wait_for(stream.wait_until_full(), PATIENCE_SECONDS)
            received = 0
            async for data in stream:
                received += len(data)
                if received >= 120:
                    break
    assert received >= 120


@given(pieces=PIECES, room=st.integers(0, 300))
@settings(max_examples=60)
def test_bytes_come_out_as_they_went_in_where_the_disk_becomes_full(
    pieces: list[bytes], room: int
) -> None:
    left = room

    def write_at(file: BinaryIO, data: memoryview, place: int) -> int:
        nonlocal left
        if not left:
            raise StorageFull("the disk is full")
        size = os.pwrite(file.fileno(), data[:left], place)
        left -= size
        return size

    with (
        patch.object(buffer, "MEMORY_BYTES", 50),
        patch.object(buffer, "FILE_BYTES", 64),
        patch.object(buffer, "READ_BYTES", 24),
        patch("asr.resources.spool.write_at", write_at),
    ):
        assert asyncio.run(through(pieces, reader_waits=False)) == b"".join(pieces)


async def test_where_no_file_can_be_opened_the_sender_waits_and_a_full_buffer_is_known() -> None:
    sent = 0

    async def source() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            yield bytes(40)
            sent += 40

    def fails() -> None:
        raise StorageFull("the disk is full")

    with (
        patch.object(buffer, "MEMORY_BYTES", 100),
        patch("asr.resources.spool.opened", fails),
        closing(ThreadPool(1, "spool")) as threads,
    ):
        async with buffer.buffered(source(), threads) as stream:
            await asyncio.wait_for(stream.wait_until_full(), PATIENCE_SECONDS)
            assert sent == 80
            assert sum([len(data) async for data in stream]) == 4000
