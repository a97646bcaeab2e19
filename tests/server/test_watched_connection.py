"""Callers who do not read: dropped after a while, and not as long as they read a little."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from asr.server.watched_connection import WatchedConnection
from tests.conftest import eventually
from tests.support.clock import Clock

ANSWER = bytes(32 * 2**20)  # more than the system takes
ASKED = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@contextlib.asynccontextmanager
async def connected(
    streams: bool,
) -> AsyncIterator[tuple[socket.socket, WatchedConnection]]:
    """Yield a caller who has asked for an answer, and the server's side, which waits for it."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if not streams:
            return web.Response(body=ANSWER)
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(2**20))

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    loop = asyncio.get_running_loop()
    assert runner.server is not None
    server = runner.server
    listener = await loop.create_server(
        lambda: WatchedConnection(server, send_timeout_s=60.0, loop=loop), "127.0.0.1", 0
    )
    with socket.socket() as caller:
        caller.setblocking(False)
        await loop.sock_connect(caller, listener.sockets[0].getsockname())
        await loop.sock_sendall(caller, ASKED)
        await eventually(lambda: server.connections and server.connections[0].writing_paused)
        yield caller, server.connections[0]  # type: ignore[misc]
    listener.close()
    await runner.cleanup()


@pytest.mark.parametrize("streams", [False, True])
async def test_a_caller_who_reads_nothing_is_dropped_with_one_line(
    clock: Clock, caplog: pytest.LogCaptureFixture, streams: bool
) -> None:
    caplog.set_level("INFO")
    async with connected(streams) as (_, connection):
        clock.advance(50)
        await asyncio.sleep(0)
        assert connection.connected
        clock.advance(20)
        await eventually(lambda: not connection.connected)
    [line] = [each.message for each in caplog.records if "SEND_TIMEOUT_S" in each.message]
    assert "127.0.0.1" in line
    assert "took nothing of its answer for SEND_TIMEOUT_S=60" in line


@pytest.mark.parametrize("streams", [False, True])
async def test_a_caller_who_reads_slowly_is_not_dropped(clock: Clock, streams: bool) -> None:
    loop = asyncio.get_running_loop()
    async with connected(streams) as (caller, connection):
        for _ in range(5):
            looked = connection._look
            left = 2**20
            while left > 0:
                left -= len(await loop.sock_recv(caller, left))
            clock.advance(50)
            await eventually(lambda before=looked: connection._look is not before)  # type: ignore[misc]
            assert connection.connected
        clock.advance(70)
        await eventually(lambda: not connection.connected)


async def test_a_caller_who_reads_everything_is_watched_no_more(clock: Clock) -> None:
    loop = asyncio.get_running_loop()
    async with connected(streams=False) as (caller, connection):
        left = len(ANSWER)
        while left > 0:
            left -= len(await loop.sock_recv(caller, 2**20))
        await eventually(lambda: connection._look is None)
        clock.advance(10)
        await asyncio.sleep(0)
        assert connection.connected
