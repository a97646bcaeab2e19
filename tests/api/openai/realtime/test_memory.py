"""What live sessions hold counts among all requests, so that many of them fill no memory."""

from __future__ import annotations

import contextlib
import struct

import aiohttp
import pytest

from asr.api.openai.realtime import connection
from asr.api.openai.realtime.memory import SESSION_BYTES
from asr.http.app_keys import MEMORY
from asr.live.decoding.context import CONTEXT_SECONDS
from asr.pcm import SAMPLE_RATE
from asr.resources.memory_budget import MIB
from tests.conftest import eventually
from tests.support.realtime import URL, sound

# What was said last is kept, as float32: short utterances are decoded behind it.
CONTEXT_BYTES = round(CONTEXT_SECONDS * SAMPLE_RATE) * 4


def begun(length: int, sent: int) -> bytes:
    """Return the beginning of a text message of so many bytes, of which `sent` are there."""
    return bytes([0x81, 0x80 | 127]) + struct.pack("!Q", length) + bytes(4) + b" " * sent


def write(socket, data: bytes) -> None:
    socket.socket._writer.transport.write(data)


async def test_each_session_counts_until_it_ends_and_none_more_is_opened_than_there_is_room_for(
    live_client, connect
):
    memory = live_client.app[MEMORY]
    memory.limit = int(2.5 * SESSION_BYTES)
    sockets = [await connect(live_client) for _ in range(2)]
    assert memory.held == memory.lasting == 2 * SESSION_BYTES
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await live_client.ws_connect(URL)
    assert refused.value.status == 429
    assert int(refused.value.headers["Retry-After"]) >= 1
    for socket in sockets:
        await socket.socket.close()
    await eventually(lambda: memory.held == memory.lasting == 0)


async def test_audio_that_waits_counts_and_is_given_back_when_it_is_text_but_for_the_last(
    live_client, connect, engine, monkeypatch
):
    monkeypatch.setattr(connection, "LOOK_SECONDS", 0.01)
    memory = live_client.app[MEMORY]
    engine.gate.clear()
    socket = await connect(live_client)
    for _ in range(20):
        await socket.append(sound(1.0, 1.0))
    await eventually(lambda: memory.held > SESSION_BYTES + 3 * MIB)
    engine.gate.set()
    for _ in range(20):
        await socket.until("conversation.item.done")
    await eventually(lambda: memory.held <= SESSION_BYTES + CONTEXT_BYTES)
    await socket.socket.close()
    await eventually(lambda: memory.held == 0)


async def test_a_session_for_whose_audio_there_is_no_room_is_closed_and_others_go_on(
    live_client, connect, engine
):
    memory = live_client.app[MEMORY]
    memory.limit = 2 * SESSION_BYTES + 16 * MIB
    engine.gate.clear()
    first, second = await connect(live_client), await connect(live_client)
    await first.append(sound(*[1.0] * 20))  # it reads no more until there is a text
    with contextlib.suppress(ConnectionError):
        for _ in range(20):
            await first.socket.send_bytes(bytes(MIB))
    code, reason = await first.closed()
    assert (code, "MAX_MEMORY_MB" in reason) == (1013, True)
    await eventually(lambda: memory.held == SESSION_BYTES)
    engine.gate.set()
    await second.append(sound(1.0, 1.0))
    await second.until("conversation.item.done")


async def test_a_message_counts_while_it_arrives(live_client, connect):
    memory = live_client.app[MEMORY]
    socket = await connect(live_client)
    write(socket, begun(20 * MIB, 10 * MIB))
    await eventually(lambda: memory.held >= SESSION_BYTES + 10 * MIB)
    write(socket, b" " * (10 * MIB))
    assert "besides its audio" in (await socket.error())["message"]
    await socket.append(sound(1.0, 1.0))
    await socket.until("conversation.item.done")
    assert memory.held < SESSION_BYTES + 3 * MIB


async def test_messages_that_arrive_in_many_sessions_fill_no_memory(live_client, connect):
    memory = live_client.app[MEMORY]
    memory.limit = 3 * SESSION_BYTES + 20 * MIB
    first, second, third = [await connect(live_client) for _ in range(3)]
    for number, socket in enumerate((first, second), 1):
        write(socket, begun(20 * MIB, 9 * MIB))
        size = 3 * SESSION_BYTES + number * 9 * MIB
        await eventually(lambda size=size: memory.held >= size)
    write(third, begun(20 * MIB, 9 * MIB))
    code, reason = await third.closed()
    assert (code, "MAX_MEMORY_MB" in reason) == (1013, True)
    await eventually(lambda: memory.held <= 2 * (SESSION_BYTES + 9.1 * MIB))
