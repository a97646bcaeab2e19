"""How many connections there may be, and how they end with the server."""

from __future__ import annotations

import asyncio
import contextlib

from wyoming.audio import AudioStop
from wyoming.ping import Ping

from asr.api.wyoming.port import LEAST_CLIENTS, MOST_CLIENTS, most_clients
from tests.conftest import eventually, tone
from tests.support.wyoming import say, text_of


def test_the_port_has_a_share_of_the_connections():
    assert (most_clients(16), most_clients(320), most_clients(10_000)) == (
        LEAST_CLIENTS,
        40,
        MOST_CLIENTS,
    )


async def test_an_idle_connection_gives_way_and_a_busy_one_does_not(make_port, engine):
    port = await make_port(most=2)
    engine.gate.clear()
    async with port.client() as busy, port.client() as idle:
        await say(busy)
        await eventually(lambda: engine.steps)
        await idle.write_event(Ping().event())
        assert (await idle.read_event()).type == "pong"
        async with port.client() as third:
            await third.write_event(Ping().event())
            assert (await third.read_event()).type == "pong"
        with contextlib.suppress(ConnectionError):
            assert await idle.read_event() is None
        engine.gate.set()
        assert await text_of(busy) == "2.00 s"


async def test_where_all_are_busy_a_new_one_is_refused(make_port, engine):
    port = await make_port(most=1)
    engine.gate.clear()
    async with port.client() as busy:
        await say(busy)
        await eventually(lambda: engine.steps)
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        engine.gate.set()
        assert await text_of(busy) == "2.00 s"


async def test_many_that_come_at_once_leave_no_more_open_than_there_may_be(make_port):
    port = await make_port(most=4)
    clients = [port.client() for _ in range(60)]
    for client in clients:
        await client.connect()
        await client.write_event(Ping().event())
    assert (await clients[-1].read_event()).type == "pong"
    await eventually(lambda: len(port.port._open) == 4)
    await port.port.end()
    assert not port.port._tasks
    for client in clients:
        client._writer.transport.abort()


async def test_draining_ends_the_idle_and_lets_recordings_be_answered(port, engine):
    engine.gate.clear()
    async with port.client() as arriving, port.client() as sent, port.client() as idle:
        await say(arriving, tone(1.0), is_whole=False)
        await say(sent)
        await eventually(lambda: engine.steps and port.port.recordings == 2)
        draining = asyncio.create_task(port.port.drain(60))
        assert await idle.read_event() is None
        engine.gate.set()
        assert await text_of(sent) == "2.00 s"
        assert await sent.read_event() is None
        await arriving.write_event(AudioStop().event())
        assert await text_of(arriving) == "1.00 s"
        assert await draining is True
    assert port.port.listener is not None
    assert not port.port.listener.is_serving()


async def test_what_is_not_answered_in_time_is_told_by_draining(port, engine):
    engine.gate.clear()
    async with port.client() as client:
        await say(client)
        await eventually(lambda: engine.steps)
        assert await port.port.drain(0.01) is False
        await port.port.end()
        assert await client.read_event() is None
    engine.gate.set()
