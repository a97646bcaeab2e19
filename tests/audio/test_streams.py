"""Streams of bytes: read, chained and restarted, and no byte is lost."""

from __future__ import annotations

import io
import tempfile

import pytest

from asr.audio.streams import chained, from_start, read_at_least, stream_of

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
