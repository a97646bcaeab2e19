"""The decoder gives out samples while bytes arrive, in bounded memory, to so many at once."""

from __future__ import annotations

import asyncio
import contextlib
import io
import struct
import threading
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any, BinaryIO

import numpy as np
import pytest
import soundfile

from asr.audio.damage import Damage
from asr.audio.decoder import MAX_BOXES, Decoder, needs_seeking
from asr.errors import (
    BadAudio,
    BadRequest,
    DecoderFailed,
    OutOfResources,
    ServerError,
    TooLarge,
    UnsupportedMedia,
)
from asr.pcm import SAMPLE_RATE
from tests.conftest import PATIENCE_SECONDS, tone, wav
from tests.support.sounds import (
    FORMATS,
    SECONDS,
    assert_is_the_sweep,
    decoded,
    encoded,
    ffmpeg,
    on_disk,
    stream,
    sweep,
)


def with_sizes(data: bytes, size: int) -> bytes:
    """A WAV whose header was written before its length was known."""
    changed = bytearray(data)
    place = data.index(b"data") + 4
    changed[4:8] = changed[place : place + 4] = struct.pack("<I", size)
    return bytes(changed)


@pytest.mark.parametrize("seconds", [3.0, 60.0])  # in memory at once, and as it arrives
@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
async def test_a_wav_of_unknown_length_is_decoded_to_its_end(
    decoder: Decoder, size: int, seconds: float
) -> None:
    data = with_sizes(wav(tone(seconds)), size)
    assert len(await decoded(decoder, stream(data))) == seconds * SAMPLE_RATE
    with on_disk(data) as file:
        assert len(await decoded(decoder, file)) == seconds * SAMPLE_RATE


@pytest.mark.parametrize("name", ["speech.mp3", "sound.webm", "opus.ogg", "raw.aac", "pcm16.wav"])
async def test_blocks_come_out_while_the_bytes_still_arrive(decoder: Decoder, name: str) -> None:
    long = ffmpeg(
        "-stream_loop", "40", "-i", "sweep.wav", *FORMATS[name].split(), "-flush_packets", "1",
        name=name,
    )  # fmt: skip
    may_end = asyncio.Event()

    async def stalls() -> AsyncIterator[bytes]:
        yield long[: len(long) * 9 // 10]
        await may_end.wait()
        yield long[len(long) * 9 // 10 :]

    async with contextlib.aclosing(decoder.blocks(stalls())) as blocks:
        first = await asyncio.wait_for(anext(blocks), PATIENCE_SECONDS)
        assert len(first)
        may_end.set()
        rest = [block async for block in blocks]
    total = len(first) + sum(map(len, rest))
    assert total / SAMPLE_RATE == pytest.approx(41 * SECONDS, abs=1)


async def hours_of_wav(hours: float) -> AsyncIterator[bytes]:
    yield with_sizes(wav(tone(0.01)), 0xFFFFFFFF)
    minute = (tone(60) * 32_767).astype("<i2").tobytes()
    for _ in range(round(hours * 60)):
        yield minute


async def test_a_file_of_hours_stays_bounded_in_memory(decoder: Decoder) -> None:
    total = 0
    tracemalloc.start()
    try:
        async with contextlib.aclosing(decoder.blocks(hours_of_wav(2))) as blocks:
            async for block in blocks:
                total += len(block)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total / SAMPLE_RATE == pytest.approx(7200, abs=1)
    assert peak < 32 * 2**20  # the file has 220 MiB


async def test_audio_beyond_the_limit_is_refused_while_it_arrives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("asr.audio.buffer.FILE_BYTES", 2**22)
    decoder = Decoder(max_seconds=120, processes=1)
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        async for data in hours_of_wav(10):
            sent += len(data)
            yield data

    with pytest.raises(TooLarge, match="MAX_AUDIO_SECONDS=120"):
        await decoded(decoder, endless())
    assert sent < 10 * 60 * 2 * SAMPLE_RATE
    decoder.close()


async def test_the_sources_failure_comes_before_the_decoders(decoder: Decoder) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield encoded("speech.mp3")[:200]
        raise BadRequest("the body broke off")

    with pytest.raises(BadRequest, match="broke off"):
        await decoded(decoder, breaks())


async def test_a_source_that_breaks_off_later_is_not_taken_for_whole(decoder: Decoder) -> None:
    data = encoded("speech.mp3") * 20

    async def breaks() -> AsyncIterator[bytes]:
        yield data
        raise BadRequest("the body broke off")

    with pytest.raises(BadRequest, match="broke off"):
        await decoded(decoder, breaks())


async def test_a_caller_without_bytes_holds_no_decoder() -> None:
    decoder = Decoder(max_seconds=0, processes=1)

    async def silent() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
        waiting = [group.create_task(decoded(decoder, silent())) for _ in range(3)]
        assert_is_the_sweep(await decoded(decoder, stream(encoded("opus.ogg"))))
        for task in waiting:
            task.cancel()
    decoder.close()


@pytest.mark.parametrize("data", [b"", b"\0", b"RIFF", b"fLaC", b"ID3", b"OggS", b"\0" * 100_000])
async def test_what_is_no_audio_is_refused_with_a_remedy(decoder: Decoder, data: bytes) -> None:
    for source in (stream(data), io.BytesIO(data)):
        with pytest.raises(BadAudio, match="send"):
            await decoded(decoder, source)


def test_where_the_index_of_an_mp4_lies_is_seen_in_its_head() -> None:
    assert needs_seeking(encoded("index-at-end.m4a")[:4096])
    assert needs_seeking(encoded("film.mov")[:4096])
    assert not needs_seeking(encoded("index-first.m4a")[:4096])
    assert not needs_seeking(encoded("fragmented.mp4")[:4096])
    assert not needs_seeking(encoded("speech.mp3")[:4096])


def test_a_list_of_boxes_without_end_is_not_followed() -> None:
    def listed(count: int) -> bytes:
        box = struct.Struct(">I4s")
        return box.pack(8, b"free") * (count - 1) + box.pack(8, b"moov")

    assert not needs_seeking(listed(MAX_BOXES))
    assert needs_seeking(listed(MAX_BOXES + 1))


async def test_a_sweep_keeps_its_place_in_time(decoder: Decoder) -> None:
    samples = await decoded(decoder, stream(wav(sweep())))
    assert np.max(np.abs(samples - sweep())) < 1e-3


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
    assert len(await asyncio.wait_for(second, PATIENCE_SECONDS))
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

    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
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
            assert len(await asyncio.wait_for(anext(arriving), PATIENCE_SECONDS))
    decoder.close()


async def test_who_waits_for_a_place_among_those_that_arrive_has_it_as_soon_as_it_is_free() -> None:
    decoder = Decoder(max_seconds=0, processes=2)
    begun = [asyncio.Event() for _ in range(3)]
    first, left, second = (decoder.blocks(endless(begins)) for begins in begun)
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        contextlib.aclosing(second),
        contextlib.aclosing(left),
    ):
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


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (MemoryError(), OutOfResources, "out of memory"),
        (RuntimeError("soxr is broken"), DecoderFailed, "RuntimeError"),
    ],
)
@pytest.mark.parametrize("name", ["pcm16.wav", "stereo.flac"])
async def test_a_decoder_in_a_thread_that_fails_says_so(
    decoder: Decoder,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    error: Exception,
    kind: type[ServerError],
    message: str,
) -> None:
    def fail(*arguments: object) -> None:  # noqa: ARG001
        raise type(error)(*error.args)  # one that lives no longer than the test

    monkeypatch.setattr("asr.pcm.Resampler.push", fail)
    with pytest.raises(kind, match=message):
        await decoded(decoder, stream(encoded(name)))


async def test_whoever_leaves_a_thread_that_reads_frees_nothing_under_it(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libsndfile would read freed memory, and the process end."""
    began, may_go_on, has_read = threading.Event(), threading.Event(), threading.Event()
    has_block = asyncio.Event()
    read = soundfile.SoundFile.read

    def slow_read(sound: soundfile.SoundFile, *how: Any, **more: Any) -> Any:
        if has_block.is_set():
            began.set()
            may_go_on.wait(PATIENCE_SECONDS)
        block = read(sound, *how, **more)
        if has_block.is_set():
            has_read.set()
        return block

    async def decode(file: BinaryIO) -> None:
        async for _ in decoder.blocks(file):
            has_block.set()

    monkeypatch.setattr(soundfile.SoundFile, "read", slow_read)
    with on_disk(wav(tone(60.0))) as file:
        task = asyncio.create_task(decode(file))
        await asyncio.to_thread(began.wait, PATIENCE_SECONDS)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        may_go_on.set()
        assert await asyncio.to_thread(has_read.wait, PATIENCE_SECONDS)


async def test_without_ffmpeg_a_damaged_flac_is_decoded_up_to_its_damage() -> None:
    data = bytearray(ffmpeg("-stream_loop", "9", "-i", "sweep.wav", name="long.flac"))
    middle = len(data) // 2
    data[middle : middle + 4000] = bytes(4000)
    damage, count = Damage(), 0
    with contextlib.closing(Decoder(0, 1, program="/nowhere/ffmpeg")) as decoder:
        async for block in decoder.blocks(stream(bytes(data)), damage):
            count += len(block)
        with pytest.raises(UnsupportedMedia, match="send wav, flac, and undamaged mp3"):
            await decoded(decoder, stream(encoded("opus.ogg")))
    assert 0 < count < 30 * SAMPLE_RATE
    assert damage.missing == pytest.approx(30 - count / SAMPLE_RATE)


def long() -> bytes:
    """Three minutes of a kind that ffmpeg alone reads: more than pipes and buffers hold."""
    return encoded("raw.aac") * 60


async def endless(begins: asyncio.Event) -> AsyncIterator[bytes]:
    """A body whose end does not come; says when it has begun."""
    yield long()
    begins.set()
    await asyncio.Event().wait()
