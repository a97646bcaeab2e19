"""Any container or codec to 16 kHz mono PCM, in blocks, while it still arrives."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import struct
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import soundfile

from asr.decoders import (
    SAMPLE_RATE,
    Samples,
    Source,
    ffmpeg_blocks,
    is_wave_or_flac,
    opened_by_soundfile,
    soundfile_blocks,
)
from asr.errors import BadAudio, TooLarge
from asr.spool import in_thread, spooled

__all__ = ["SAMPLE_RATE", "Decoder", "Samples", "Source"]

HEAD_BYTES = 64 * 1024  # read before the format is judged
THREADS = 2 * (os.cpu_count() or 1)
IN_MEMORY_BYTES = 2**20  # WAV and FLAC up to here are decoded in the process: a window or so


class Decoder:
    """Turns bytes into PCM off the event loop, in threads and in at most `processes` children.

    A child lives as long as its source is transcribed, mostly idle: `processes` bounds memory,
    not work.
    """

    def __init__(self, max_seconds: float, processes: int) -> None:
        self._max_samples = round(max_seconds * SAMPLE_RATE) if max_seconds else None
        self._processes = asyncio.Semaphore(processes)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="decode")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def blocks(self, source: Source) -> AsyncGenerator[Samples]:
        """Decode `source`; yield blocks of [samples], each at most some ten seconds.

        Raises:
            BadAudio: no decoder takes the bytes, or there is no sound in them.
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
        """Choose the decoder of `source`; `stack` ends it, also when nobody reads on."""
        if isinstance(source, AsyncIterator):
            source = await self._arrived(source, stack)
        if not isinstance(source, AsyncIterator):
            sound = await in_thread(self._threads, opened_by_soundfile, source)
            if sound is not None:
                stack.callback(sound.close)
                return await _entered(self._with_soundfile(sound), stack)
            source.seek(0)
        if isinstance(source, io.BytesIO):
            source = _once(source.getvalue())
        await stack.enter_async_context(self._processes)
        return await _entered(ffmpeg_blocks(source), stack)

    async def _arrived(
        self, stream: AsyncIterator[bytes], stack: contextlib.AsyncExitStack
    ) -> Source:
        """The stream itself; a file in its place where a decoder has to seek in it."""
        head = await _read(stream, HEAD_BYTES)
        if not head:
            raise BadAudio("the body is empty: send the bytes of an audio file")
        if is_wave_or_flac(head):
            head += await _read(stream, IN_MEMORY_BYTES - len(head))
            if len(head) < IN_MEMORY_BYTES:
                return io.BytesIO(head)
        if not needs_seeking(head):
            rest = await stack.enter_async_context(spooled(stream, self._threads))
            return _chain(head, rest)
        file = stack.enter_context(tempfile.TemporaryFile())
        async for data in _chain(head, stream):
            await in_thread(self._threads, file.write, data)
        file.seek(0)
        return file

    async def _with_soundfile(self, sound: soundfile.SoundFile) -> AsyncGenerator[Samples]:
        blocks = soundfile_blocks(sound)
        while (block := await in_thread(self._threads, next, blocks, None)) is not None:
            yield block


def needs_seeking(head: bytes) -> bool:
    """Whether this is an mp4 or QuickTime file whose index does not come before its data."""
    place = 0
    while place + 8 <= len(head):
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


async def _entered(
    blocks: AsyncGenerator[Samples], stack: contextlib.AsyncExitStack
) -> AsyncGenerator[Samples]:
    return await stack.enter_async_context(contextlib.aclosing(blocks))


async def _read(stream: AsyncIterator[bytes], size: int) -> bytes:
    """At least `size` bytes, fewer only where the stream ends."""
    parts, have = [], 0
    while have < size:
        try:
            data = await anext(stream)
        except StopAsyncIteration:
            break
        parts.append(data)
        have += len(data)
    return b"".join(parts)


async def _chain(head: bytes, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for data in stream:
        yield data


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
