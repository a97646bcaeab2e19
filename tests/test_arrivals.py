"""Who may decode when many want to: those whose bytes still arrive leave room for others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from asr.audio import Decoder
from tests.sounds import assert_is_the_sweep, decoded, encoded, ffmpeg, stream


async def test_no_more_sources_than_allowed_are_decoded_at_once() -> None:
    decoder = Decoder(max_seconds=0, processes=1)
    first = decoder.blocks(stream(encoded("speech.mp3") * 50))
    await anext(first)
    second = asyncio.ensure_future(anext(decoder.blocks(stream(encoded("opus.ogg")))))
    other = Decoder(max_seconds=0, processes=1)
    assert_is_the_sweep(await decoded(other, stream(encoded("opus.ogg"))))  # time enough for it
    other.close()
    assert not second.done()
    await first.aclose()
    assert len(await asyncio.wait_for(second, 30))
    decoder.close()


async def test_senders_who_take_their_time_leave_decoders_to_others() -> None:
    decoder = Decoder(max_seconds=0, processes=2)
    data = ffmpeg("-stream_loop", "200", "-i", "sweep.wav", "-f", "adts", name="long.aac")
    half, rest = data[: len(data) // 2], data[len(data) // 2 :]
    may_end = asyncio.Event()

    async def slow(begins: asyncio.Event) -> AsyncIterator[bytes]:
        yield half
        begins.set()
        await may_end.wait()
        yield rest

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        begun = [asyncio.Event() for _ in range(2)]
        slow_ones = [group.create_task(decoded(decoder, slow(begins))) for begins in begun]
        for begins in begun:
            await begins.wait()
        assert_is_the_sweep(await decoded(decoder, stream(encoded("opus.ogg"))))
        quick = await decoded(decoder, stream(data))
        may_end.set()
    assert [len(task.result()) for task in slow_ones] == [len(quick)] * 2
    decoder.close()


async def test_a_body_that_is_here_leaves_its_place_to_one_that_still_arrives() -> None:
    decoder = Decoder(max_seconds=0, processes=2)
    data = ffmpeg("-stream_loop", "200", "-i", "sweep.wav", "-f", "adts", name="long.aac")
    is_here = asyncio.Event()

    async def quick() -> AsyncIterator[bytes]:
        yield data
        is_here.set()

    async def endless() -> AsyncIterator[bytes]:
        yield data
        await asyncio.Event().wait()

    async with contextlib.aclosing(decoder.blocks(quick())) as unread:
        assert len(await anext(unread))
        await is_here.wait()
        for _ in range(50):
            await asyncio.sleep(0)
        async with contextlib.aclosing(decoder.blocks(endless())) as arriving:
            assert len(await asyncio.wait_for(anext(arriving), 30))
    decoder.close()


async def test_who_waits_for_a_place_among_those_that_arrive_has_it_as_soon_as_it_is_free() -> None:
    decoder = Decoder(max_seconds=0, processes=2)
    data = ffmpeg("-stream_loop", "200", "-i", "sweep.wav", "-f", "adts", name="long.aac")
    waits = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield data
        waits.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(60):
        first = decoder.blocks(endless())
        assert len(await anext(first))
        waits.clear()
        second = asyncio.ensure_future(anext(decoder.blocks(endless())))
        await waits.wait()
        left = asyncio.ensure_future(anext(decoder.blocks(endless())))
        waits.clear()
        await waits.wait()
        left.cancel()
        assert not second.done()
        await first.aclose()
        assert len(await second)
    decoder.close()
