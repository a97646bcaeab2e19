"""Streams of bytes: read, chained and restarted, and no byte is lost."""

from __future__ import annotations

import asyncio
import contextlib
import io
import tempfile
from collections.abc import AsyncIterator, Iterator

import pytest

from asr.audio import streams
from asr.audio.streams import Rewindable, chained, from_start, read_at_least, stream_of
from asr.concurrency import ThreadPool
from asr.errors import StorageFull

PARTS = [b"ab", b"", b"cde", b"f"]


@pytest.mark.parametrize(
    ("size", "head"), [(0, b""), (1, b"ab"), (3, b"abcde"), (6, b"abcdef"), (9, b"abcdef")]
)
async def test_a_head_has_at_least_its_size_and_the_rest_follows_it(size: int, head: bytes) -> None:
    stream = stream_of(PARTS)
    assert await read_at_least(stream, size) == head
    assert b"".join([data async for data in chained(head, stream)]) == b"abcdef"


async def test_an_empty_head_is_no_part_of_the_stream() -> None:
    assert [data async for data in chained(b"", stream_of([b"a"]))] == [b"a"]


async def test_a_file_is_read_from_its_start_wherever_it_was_left() -> None:
    memory = io.BytesIO(b"sound")
    memory.seek(3)
    whole = from_start(memory)
    assert not hasattr(whole, "seek")
    assert [data async for data in whole] == [b"sound"]
    with tempfile.TemporaryFile() as file:
        file.write(b"sound")
        assert from_start(file) is file
        assert file.read() == b"sound"


@pytest.fixture
def threads() -> Iterator[ThreadPool]:
    pool = ThreadPool(1, "test")
    yield pool
    pool.close()


@pytest.mark.parametrize("in_memory", [0, 3, 100])  # the rest is in a file
async def test_a_stream_begins_again_with_what_was_read_of_it(
    threads: ThreadPool, monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    monkeypatch.setattr(streams, "KEPT_IN_MEMORY", in_memory)
    async with contextlib.aclosing(Rewindable(stream_of(PARTS), threads)) as stream:
        assert [await anext(stream) for _ in range(3)] == PARTS[:3]
        assert stream.can_begin_again
        assert b"".join([data async for data in stream.again()]) == b"abcdef"


async def test_a_reader_that_is_cancelled_loses_nothing(threads: ThreadPool) -> None:
    may_go_on = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"ab"
        await may_go_on.wait()
        yield b"cd"

    async with contextlib.aclosing(Rewindable(slow(), threads)) as stream:
        assert await anext(stream) == b"ab"
        reader = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        may_go_on.set()
        assert [data async for data in stream.again()] == [b"ab", b"cd"]


async def test_what_is_released_is_kept_no_longer(threads: ThreadPool) -> None:
    stream = Rewindable(stream_of(PARTS), threads)
    assert await anext(stream) == b"ab"
    stream.release()
    assert not stream.can_begin_again
    assert b"".join([data async for data in stream]) == b"cdef"


@pytest.mark.parametrize("fails", [False, True])
async def test_a_stream_of_which_too_much_was_read_goes_on_without_a_way_back(
    threads: ThreadPool, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    def full(*_: object) -> int:
        raise StorageFull("the disk is full")

    monkeypatch.setattr(streams, "KEPT_IN_MEMORY", 1)
    monkeypatch.setattr(streams, "MOST_KEPT", 100 if fails else 4)
    if fails:
        monkeypatch.setattr("asr.audio.streams.Spool", full)
    stream = Rewindable(stream_of(PARTS), threads)
    assert b"".join([data async for data in stream]) == b"abcdef"
    assert not stream.can_begin_again


async def test_the_failure_of_a_stream_is_raised_to_its_reader(threads: ThreadPool) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield b"ab"
        raise ValueError("broken")

    stream = Rewindable(breaks(), threads)
    assert await anext(stream) == b"ab"
    with pytest.raises(ValueError, match="broken"):
        await anext(stream)
