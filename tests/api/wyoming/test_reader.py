"""Events are read within bounds, whatever a client says of their lengths."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wyoming.event import Event, write_event

from asr.api.wyoming.reader import DATA_BYTES, LINE_BYTES, OTHER_BYTES, EventReader
from asr.errors import BadRequest, CallerError, TooLarge


def reader_of(data: bytes) -> EventReader:
    stream = asyncio.StreamReader(LINE_BYTES)
    stream.feed_data(data)
    stream.feed_eof()
    return EventReader(stream)


def line(**fields: Any) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def written(event: Event) -> bytes:
    """The bytes that the package itself sends."""
    file = io.BytesIO()
    write_event(event, file)
    return file.getvalue()


async def payload_of(reader: EventReader) -> bytes:
    data = b""
    while reader.has_payload:
        data += await reader.piece()
    return data


async def types_of(reader: EventReader) -> list[str]:
    found = []
    while (event := await reader.next()) is not None:
        found.append(event.type)
    return found


async def test_what_the_package_writes_is_read():
    sent = [Event("one", {"a": [1, {"b": "ü"}]}, b"12345"), Event("two"), Event("three", {"c": 1})]
    reader = reader_of(b"".join(map(written, sent)))
    for event in sent:
        found = await reader.next()
        assert (found.type, found.data) == (event.type, event.data)
        assert await payload_of(reader) == (event.payload or b"")
    assert await reader.next() is None


async def test_letters_may_be_written_by_their_numbers():
    event = b'{"type": "x", "data": {"a": "\\u00fc\\ud83d\\ude00"}}\n'
    assert (await reader_of(event).next()).data == {"a": "ü😀"}


async def test_further_data_is_merged_into_that_of_the_line():
    event = b'{"type": "x", "data": {"a": 1, "b": 1}, "data_length": 8}\n{"b": 2}'
    assert (await reader_of(event).next()).data == {"a": 1, "b": 2}


async def test_a_payload_that_nobody_reads_is_passed_over():
    reader = reader_of(line(type="x", payload_length=5) + b"\n\n{}\0" + line(type="y"))
    assert await types_of(reader) == ["x", "y"]


async def test_an_event_that_the_client_left_in_the_middle_is_none():
    for whole in (line(type="x", data_length=9) + b'{"a": 12}', line(type="x")):
        for cut in range(len(whole) - 1):
            assert await reader_of(whole[:cut]).next() is None
    reader = reader_of(line(type="x", payload_length=9) + b"1234")
    await reader.next()
    assert await reader.next() is None


@pytest.mark.parametrize(
    "sent",
    [
        b"\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"[]\n",
        b'"text"\n',
        b"\xff\xfe\n",
        b"[" * 60_000 + b"\n",
        b'{"type": ' + b"9" * 50_000 + b"}\n",
        b"{}\n",
        b'{"type": "ping", "data": {"text": "\\ud800"}}\n',
        b'{"type": "x", "data_length": 15}\n{"a": "\\uDFFF"} ',
        line(type=None),
        line(type="x" * 101),
        line(type="x", data=[]),
        line(type="x", data_length=-1),
        line(type="x", data_length="5"),
        line(type="x", data_length=1.5),
        line(type="x", data_length=True),
        line(type="x", payload_length=-(10**30)),
        line(type="x", payload_length=[10]),
        b'{"type": "x", "data": {"rate": NaN}}\n',
        b'{"type": "x", "data_length": 13}\n{"a": -1e999}',
        b'{"type": "x", "data": {"names": ["a\\u0000b"]}}\n',
        line(type="x", data_length=2) + b"[]",
        line(type="x", data_length=2) + b"\0\0",
    ],
)
async def test_what_is_no_event_is_refused(sent):
    with pytest.raises(BadRequest, match=r"^an event's (line|data)"):
        await reader_of(sent).next()


@pytest.mark.parametrize(
    "sent",
    [
        b"x" * (3 * LINE_BYTES),
        b'{"type": "' + b"x" * LINE_BYTES + b'"}\n',
        line(type="x", data_length=DATA_BYTES + 1),
        line(type="x", data_length=10**30),
        line(type="x", payload_length=OTHER_BYTES + 1) + line(type="y"),
        line(type="x", payload_length=10**12) + line(type="y"),
    ],
)
async def test_what_is_too_much_is_refused_by_its_length(sent):
    with pytest.raises(TooLarge):
        await types_of(reader_of(sent))


@given(st.binary(max_size=400))
def test_any_bytes_are_events_or_refused_or_the_end(data):
    async def read() -> None:
        with contextlib.suppress(CallerError):
            await types_of(reader_of(data))

    asyncio.run(read())
