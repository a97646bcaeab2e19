"""Decodes any container or codec to blocks of 16 kHz mono, while it arrives."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import struct
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from typing import BinaryIO

import soundfile

from asr import cpu
from asr.audio.buffer import StreamBuffer, buffered
from asr.audio.ffmpeg import ffmpeg_blocks
from asr.audio.libsndfile import HEAD_BYTES, SoundfileDecoder, bytes_in_memory, opened_by_soundfile
from asr.audio.streams import Source, chained, from_start, read_at_least, stream_of
from asr.audio.wav import Header, WaveDecoder, read_header
from asr.concurrency import ThreadPool
from asr.errors import BadAudio, TooLarge
from asr.pcm import SAMPLE_RATE, Samples

log = logging.getLogger(__name__)

MAX_BOXES = 256  # The search for an mp4's index ends after so many boxes; a usual file has a few.


class Decoder:
    """Decodes bytes to PCM in threads and in at most `processes` child processes.

    A child process lives as long as its source is transcribed, mostly idle: `processes` bounds
    memory, not work. At most half of them are for sources that still arrive, so that slow uploads
    leave some for others.
    """

    def __init__(self, max_seconds: float, processes: int) -> None:
        self._max_samples = round(max_seconds * SAMPLE_RATE) if max_seconds else None
        self._processes = asyncio.Semaphore(processes)
        self._arriving = asyncio.Semaphore(max(1, processes // 2))
        self._starts = asyncio.Lock()
        self._threads = ThreadPool(
            2 * cpu.usable(), "decode"
        )  # shared by decoding and access to files

    def close(self) -> None:
        self._threads.close()

    async def blocks(self, source: Source) -> AsyncGenerator[Samples]:
        """Decode `source`; yield blocks of [samples], each at most some ten seconds.

        Raises:
            BadAudio: no decoder can read the bytes, or they hold no samples.
            TooLarge: the audio is longer than `max_seconds`; raised while decoding.
        """
        total = 0
        async with contextlib.AsyncExitStack() as stack:
            async for block in await self._open(source, stack):
                total += len(block)
                self._check_length(total)
                if len(block):
                    yield block
        if total == 0:
            raise BadAudio("the audio has no samples: send a recording of at least one sample")

    def _check_length(self, samples: float) -> None:
        if self._max_samples is not None and samples > self._max_samples:
            raise TooLarge(
                f"the audio lasts {samples / SAMPLE_RATE:.0f} s or more, the limit is "
                f"MAX_AUDIO_SECONDS={self._max_samples / SAMPLE_RATE:g}: send it in parts"
            )

    async def _open(
        self, source: Source, stack: contextlib.AsyncExitStack
    ) -> AsyncIterator[Samples]:
        """Choose the decoder of `source`; closing `stack` ends it, even before its end."""
        if not isinstance(source, AsyncIterator):
            return await self._open_file(source, stack)
        head, is_whole = await _head(source)
        header = read_header(head)
        if header is None and is_whole and bytes_in_memory(head):
            return await self._open_file(io.BytesIO(head), stack)
        if header is None and needs_seeking(head):
            return await self._open_file(await self._on_disk(head, source, stack), stack)
        buffer = None
        if not is_whole:
            buffer = await stack.enter_async_context(buffered(source, self._threads))
        data = stream_of([head]) if buffer is None else chained(head, buffer)
        if header is not None:
            return await _entered(self._with_wave(header, data), stack)
        if buffer is not None:
            await self._wait_for_turn(buffer)
        return await self._with_ffmpeg(data, stack)

    async def _wait_for_turn(self, buffer: StreamBuffer) -> None:
        """Wait until few sources still arrive, or this one is here.

        Raises:
            Exception: what the source raises meanwhile.
        """
        turn, full = (
            asyncio.ensure_future(wait) for wait in (self._turn(buffer), buffer.wait_until_full())
        )
        try:
            await asyncio.wait({turn, full}, return_when=asyncio.FIRST_COMPLETED)
            if full.done():
                full.result()
        finally:
            turn.cancel()
            full.cancel()
            await asyncio.gather(turn, full, return_exceptions=True)

    async def _turn(self, buffer: StreamBuffer) -> None:
        await self._arriving.acquire()
        buffer.when_filled(self._arriving.release)

    async def _open_file(
        self, file: BinaryIO, stack: contextlib.AsyncExitStack
    ) -> AsyncIterator[Samples]:
        sound = await self._threads.run(opened_by_soundfile, file)
        if sound is not None:
            stack.callback(sound.close)
            return await _entered(self._with_soundfile(sound, file, stack), stack)
        return await self._with_ffmpeg(from_start(file), stack)

    async def _on_disk(
        self, head: bytes, stream: AsyncIterator[bytes], stack: contextlib.AsyncExitStack
    ) -> BinaryIO:
        file = stack.enter_context(tempfile.TemporaryFile())
        async for data in chained(head, stream):
            await self._threads.run(file.write, data)
        return file

    async def _with_ffmpeg(
        self, source: Source, stack: contextlib.AsyncExitStack
    ) -> AsyncIterator[Samples]:
        await stack.enter_async_context(self._processes)
        return await _entered(ffmpeg_blocks(source, self._starts), stack)

    async def _with_soundfile(
        self, sound: soundfile.SoundFile, file: BinaryIO, stack: contextlib.AsyncExitStack
    ) -> AsyncGenerator[Samples]:
        decoder, decoded = SoundfileDecoder(sound), 0
        while not decoder.has_ended:
            try:
                block = await self._threads.run(decoder.read)
            except soundfile.LibsndfileError as error:
                log.info("audio damaged, ffmpeg decodes the rest: %s", error)
                break
            decoded += len(block)
            yield block
        else:
            return
        async for block in _without_first(
            decoded, await self._with_ffmpeg(from_start(file), stack)
        ):
            yield block

    async def _with_wave(
        self, header: Header, stream: AsyncIterator[bytes]
    ) -> AsyncGenerator[Samples]:
        decoder = WaveDecoder(header)
        held = b""
        async for data in stream:
            held += decoder.sound(data)
            while len(held) > header.second_bytes:
                block, held = held[: header.block_bytes], held[header.block_bytes :]
                yield await self._threads.run(decoder.push, block, False)
        if held or decoder.holds_back:
            yield await self._threads.run(decoder.push, held, True)


def needs_seeking(head: bytes) -> bool:
    """Whether this begins an mp4 or QuickTime file whose data comes before its index."""
    place = 0
    for _ in range(MAX_BOXES):
        if place + 8 > len(head):
            break
        size, kind = struct.unpack_from(">I4s", head, place)
        if kind == b"moov":
            return False
        if kind == b"mdat":
            return True
        if kind not in {b"ftyp", b"free", b"skip", b"wide", b"uuid", b"pnot", b"styp"}:
            return False
        if size < 8:
            return True
        place += size
    return place > 0


async def _without_first(count: int, blocks: AsyncIterator[Samples]) -> AsyncGenerator[Samples]:
    """Yield `blocks` without their first `count` samples; `blocks` may fail before these."""
    try:
        async for block in blocks:
            yield block[count:]
            count = max(0, count - len(block))
    except BadAudio:
        if not count:
            raise


async def _entered(
    blocks: AsyncGenerator[Samples], stack: contextlib.AsyncExitStack
) -> AsyncGenerator[Samples]:
    return await stack.enter_async_context(contextlib.aclosing(blocks))


async def _head(stream: AsyncIterator[bytes]) -> tuple[bytes, bool]:
    """Read the first bytes of `stream`, more of some formats; also whether that is all."""
    head = await read_at_least(stream, HEAD_BYTES)
    if not head:
        raise BadAudio("the body is empty: send the bytes of an audio file")
    wanted = max(HEAD_BYTES, bytes_in_memory(head))
    head += await read_at_least(stream, wanted - len(head))
    return head, len(head) < wanted
