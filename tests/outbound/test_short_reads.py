"""A far server that sends much at once holds the event loop for no longer than others."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from aiohttp.client_proto import ResponseHandler

from asr.outbound.short_reads import BODY_TURN_BYTES, TURN_BYTES
from tests.support.origin import fetched

FLOODS = {
    "heads": b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000 + b"HTTP/1.1 200 OK\r\n",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 100_000,
    "bytes": b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n" + b"x" * 900_000,
}
FLOODS["heads"] += b"Content-Length: 0\r\n\r\n"
FLOODS["chunks"] += b"0\r\n\r\n"


@pytest.mark.parametrize("kind", FLOODS)
async def test_few_bytes_of_a_far_server_are_parsed_in_one_turn(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[int] = []
    parse = ResponseHandler.data_received

    def counted(handler: ResponseHandler, data: bytes) -> None:
        turns.append(len(data))
        parse(handler, data)

    monkeypatch.setattr(ResponseHandler, "data_received", counted)

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(FLOODS[kind])
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(send, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sound = await fetched(f"http://127.0.0.1:{port}/", allow_private=True)
    assert len(sound) == {"heads": 0, "chunks": 100_000, "bytes": 900_000}[kind]
    assert max(turns) <= (BODY_TURN_BYTES if kind == "bytes" else TURN_BYTES)
    assert sum(turns) == len(FLOODS[kind])
    server.close()
    await server.wait_closed()
