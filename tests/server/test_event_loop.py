"""However many sockets are ready, a turn of the event loop takes a few, and each has its turn."""

import asyncio
import contextlib
import socket
import sys

import psutil
import pytest

from asr.server.event_loop import MOST_EVENTS, new_event_loop

CALLERS = 3 * MOST_EVENTS
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="epoll is Linux's")


def test_a_turn_takes_a_few_sockets_and_all_have_their_turn():
    turns: list[int] = []  # sockets that were ready in each turn
    heard: dict[int, int] = {}
    with contextlib.ExitStack() as stack:
        loop = new_event_loop()
        stack.callback(loop.close)
        for number in range(CALLERS):
            ours, theirs = socket.socketpair()
            stack.callback(ours.close)
            stack.callback(theirs.close)
            theirs.send(b"x")

            def note(number: int = number) -> None:  # it is not read: it stays ready
                turns[-1] += 1
                heard[number] = heard.get(number, 0) + 1

            loop.add_reader(ours, note)

        def next_turn(left: int) -> None:
            turns.append(0)
            if left:
                loop.call_soon(next_turn, left - 1)
            else:
                loop.stop()

        loop.call_soon(next_turn, 12)
        loop.run_forever()
    assert max(turns) <= MOST_EVENTS
    assert set(heard) == set(range(CALLERS))
    assert max(heard.values()) - min(heard.values()) <= 1


def test_timers_readers_and_writers_work_as_ever():
    async def talk() -> bytes:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readexactly(2**20))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(bytes(2**20))
        await asyncio.sleep(0.01)
        received = await reader.read(-1)
        writer.close()
        server.close()
        return received

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        assert runner.run(talk()) == bytes(2**20)


def test_a_closed_loop_keeps_no_descriptor():
    process = psutil.Process()
    before = process.num_fds()
    new_event_loop().close()
    assert process.num_fds() == before
