"""Who may decode when many want to: those whose bytes still arrive leave room for others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from asr.audio.decoder import Decoder
from tests.support.sounds import assert_is_the_sweep, decoded, encoded, ffmpeg, stream


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
    data = long()
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
    is_here = asyncio.Event()

    async def quick() -> AsyncIterator[bytes]:
        yield long()
        is_here.set()

    async with contextlib.aclosing(decoder.blocks(quick())) as unread:
        assert len(await anext(unread))
        await is_here.wait()
        for _ in range(50):
            await asyncio.sleep(0)
        async with contextlib.aclosing(decoder.blocks(endless(asyncio.Event()))) as arriving:
            assert len(await asyncio.wait_for(anext(arriving), 30))
    decoder.close()


async def test_who_waits_for_a_place_among_those_that_arrive_has_it_as_soon_as_it_is_free() -> None:
    decoder = Decoder(max_seconds=0, processes=2)
    begun = [asyncio.Event() for _ in range(3)]
    first, left, second = (decoder.blocks(endless(begins)) for begins in begun)
    async with asyncio.timeout(60), contextlib.aclosing(second), contextlib.aclosing(left):
        async with contextlib.aclosing(first):
            assert len(await anext(first))
            waiting = [asyncio.ensure_future(anext(blocks)) for blocks in (left, second)]
            for begins in begun[1:]:
                await begins.wait()
            assert_is_the_sweep(await decoded(decoder, stream(encoded("opus.ogg"))))  # time enough
            assert not any(one.done() for one in waiting)
            waiting[0].cancel()
        assert len(await waiting[1])
    assert waiting[0].cancelled()
    decoder.close()


def long() -> bytes:
    """Ten minutes of a kind that ffmpeg alone reads."""
    return ffmpeg("-stream_loop", "200", "-i", "sweep.wav", "-f", "adts", name="long.aac")


async def endless(begins: asyncio.Event) -> AsyncIterator[bytes]:
    """A body whose end does not come; says when it has begun."""
    yield long()
    begins.set()
    await asyncio.Event().wait()
