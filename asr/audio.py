"""Any container or codec to 16 kHz mono PCM, in blocks, while it still arrives."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import shutil
import struct
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

import ffmpeg
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from asr.errors import BadAudio, TooLarge

log = logging.getLogger(__name__)

SAMPLE_RATE = 16_000  # samples per second, what every model here hears
BLOCK_SECONDS = 10  # decoded at a time
BLOCK_VALUES = 2_000_000  # most values of a block before mixing down, all channels
HEAD_BYTES = 64 * 1024  # read before the format is judged
IN_MEMORY_BYTES = 16 * 2**20  # WAV and FLAC up to here are decoded in the process
READ_BYTES = BLOCK_SECONDS * SAMPLE_RATE * 2  # of 16-bit PCM from ffmpeg
STALL_SECONDS = 60  # without output once all input is given
STDERR_BYTES = 4096

# Demuxers that read one stream and nothing else: no playlist, no script, no network.
FORMATS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dts,eac3,flac,flv,gsm,loas,"
    "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,ogg,rm,tta,w64,wav,wv,xwma,mxf"
)

Samples = npt.NDArray[np.float32]  # [samples], 16 kHz mono, -1..1
Source = AsyncIterator[bytes] | BinaryIO  # a stream, or an open file that can seek


class Decoder:
    """Turns bytes into PCM off the event loop, a bounded number of sources at a time."""

    def __init__(self, max_seconds: float, parallel: int) -> None:
        self._max_samples = round(max_seconds * SAMPLE_RATE) if max_seconds else None
        self._slots = asyncio.Semaphore(parallel)
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix="decode")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def blocks(self, source: Source) -> AsyncGenerator[Samples]:
        """Decode `source`; yield blocks of [samples], each at most some ten seconds.

        Raises:
            BadAudio: no decoder takes the bytes, or there is no sound in them.
            TooLarge: the audio is longer than `max_seconds`; raised while decoding.
        """
        async with self._slots:
            total = 0
            async with contextlib.aclosing(self._decoded(source)) as decoded:
                async for block in decoded:
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

    async def _decoded(self, source: Source) -> AsyncGenerator[Samples]:
        if isinstance(source, AsyncIterator):
            async for block in self._from_stream(source):
                yield block
        else:
            async for block in self._from_file(source):
                yield block

    async def _from_stream(self, stream: AsyncIterator[bytes]) -> AsyncIterator[Samples]:
        head = await _read(stream, HEAD_BYTES)
        if not head:
            raise BadAudio("the body is empty: send the bytes of an audio file")
        if is_wave_or_flac(head):
            head += await _read(stream, IN_MEMORY_BYTES - len(head))
            if len(head) < IN_MEMORY_BYTES:
                async for block in self._from_memory(head):
                    yield block
                return
        if needs_seeking(head):
            with tempfile.TemporaryFile() as file:
                await self._spool(head, stream, file)
                async for block in self._with_ffmpeg(file):
                    yield block
            return
        async for block in self._with_ffmpeg(_chain(head, stream)):
            yield block

    async def _from_memory(self, data: bytes) -> AsyncIterator[Samples]:
        done = False
        async for block in self._with_soundfile(io.BytesIO(data)):
            done = True
            yield block
        if not done:
            async for block in self._with_ffmpeg(_once(data)):
                yield block

    async def _from_file(self, file: BinaryIO) -> AsyncIterator[Samples]:
        file.seek(0)
        head = file.read(12)
        file.seek(0)
        done = False
        if is_wave_or_flac(head):
            async for block in self._with_soundfile(file):
                done = True
                yield block
        if not done:
            file.seek(0)
            async for block in self._with_ffmpeg(file):
                yield block

    async def _spool(self, head: bytes, stream: AsyncIterator[bytes], file: BinaryIO) -> None:
        loop = asyncio.get_running_loop()
        file.write(head)
        async for data in stream:
            await loop.run_in_executor(self._threads, file.write, data)
        file.flush()

    async def _with_soundfile(self, file: BinaryIO) -> AsyncIterator[Samples]:
        """WAV and FLAC in a thread; yields nothing where libsndfile cannot read the file."""
        loop = asyncio.get_running_loop()
        blocks = self._read_soundfile(file)
        while True:
            block = await loop.run_in_executor(self._threads, next, blocks, None)
            if block is None:
                return
            yield block

    def _read_soundfile(self, file: BinaryIO) -> Iterator[Samples]:
        try:
            with soundfile.SoundFile(file) as sound:
                yield from _soundfile_blocks(sound)
        except soundfile.LibsndfileError as error:
            log.debug("libsndfile stopped: %s", error)

    async def _with_ffmpeg(self, source: Source) -> AsyncIterator[Samples]:
        is_stream = isinstance(source, AsyncIterator)
        process = await asyncio.create_subprocess_exec(
            *ffmpeg_command("pipe:0" if is_stream else "/dev/stdin"),
            stdin=asyncio.subprocess.PIPE if is_stream else source,  # type: ignore[arg-type]
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=2 * READ_BYTES,
        )
        complaint = asyncio.create_task(_first_bytes(process.stderr))
        feeder = asyncio.create_task(_feed(process, source if is_stream else None))  # type: ignore[arg-type]
        try:
            is_empty = True
            async for block in _pcm_blocks(process, feeder):
                is_empty = False
                yield block
            if feeder.done():
                feeder.result()  # the source's own failure comes before the decoder's
            await process.wait()
            if is_empty:
                raise BadAudio(_reason((await complaint).decode("utf-8", "replace")))
            if process.returncode:
                log.warning("audio damaged: %s", (await complaint).decode("utf-8", "replace"))
        finally:
            await _end(process, feeder, complaint)


def is_wave_or_flac(head: bytes) -> bool:
    return head[:4] == b"fLaC" or (head[:4] == b"RIFF" and head[8:12] == b"WAVE")


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


def ffmpeg_command(name: str) -> list[str]:
    """The command that turns `name` into 16-bit 16 kHz mono PCM on its standard output."""
    program = shutil.which("ffmpeg") or imageio_ffmpeg.get_ffmpeg_exe()
    source = ffmpeg.input(name, protocol_whitelist="pipe,file", format_whitelist=FORMATS, threads=1)
    output = source.output(
        "pipe:1", map="0:a:0", vn=None, sn=None, dn=None, f="s16le", ac=1, ar=SAMPLE_RATE
    )
    quiet = output.global_args("-nostdin", "-hide_banner", "-loglevel", "error")
    command: list[str] = quiet.compile(cmd=program)
    return command


def _soundfile_blocks(sound: soundfile.SoundFile) -> Iterator[Samples]:
    frames = max(1024, min(BLOCK_SECONDS * sound.samplerate, BLOCK_VALUES // sound.channels))
    resampler = None
    if sound.samplerate != SAMPLE_RATE:
        resampler = soxr.ResampleStream(sound.samplerate, SAMPLE_RATE, 1, dtype="float32")
    while True:
        block = sound.read(frames, dtype="float32", always_2d=True)  # [frames, channels]
        is_last = len(block) < frames
        mono = block.mean(axis=1, dtype=np.float32) if sound.channels > 1 else block[:, 0]
        mono = np.nan_to_num(mono, nan=0.0, posinf=1.0, neginf=-1.0)  # [frames]
        if resampler is not None:
            mono = resampler.resample_chunk(mono, last=is_last)
        if len(mono):
            yield mono.clip(-1.0, 1.0).astype(np.float32, copy=False)
        if is_last:
            return


async def _pcm_blocks(
    process: asyncio.subprocess.Process, feeder: asyncio.Task[None]
) -> AsyncIterator[Samples]:
    assert process.stdout is not None
    left = b""
    while True:
        data = await _read_output(process.stdout, feeder)
        if not data:
            return
        data = left + data
        whole = len(data) // 2 * 2
        left = data[whole:]
        yield np.frombuffer(data[:whole], "<i2").astype(np.float32) / 32_768


async def _read_output(output: asyncio.StreamReader, feeder: asyncio.Task[None]) -> bytes:
    while True:
        has_all_input = feeder.done()
        try:
            return await asyncio.wait_for(output.read(READ_BYTES), STALL_SECONDS)
        except TimeoutError:
            if has_all_input:
                raise BadAudio("the audio decoder made no progress: re-encode the file") from None


async def _feed(process: asyncio.subprocess.Process, stream: AsyncIterator[bytes] | None) -> None:
    """Write `stream` to the decoder, as fast as it takes it in; then close its input."""
    if stream is None:
        return
    assert process.stdin is not None
    try:
        async for data in stream:
            if not await _takes(process.stdin, data):
                return
    finally:
        process.stdin.close()


async def _takes(decoder: asyncio.StreamWriter, data: bytes) -> bool:
    """Write `data`; False where the decoder has ended and wants no more."""
    try:
        decoder.write(data)
        await decoder.drain()
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


async def _first_bytes(stream: asyncio.StreamReader | None) -> bytes:
    """What the decoder complained of first; the rest is read and let go."""
    assert stream is not None
    kept = b""
    while data := await stream.read(STDERR_BYTES):
        kept = (kept + data)[:STDERR_BYTES]
    return kept


async def _end(process: asyncio.subprocess.Process, *tasks: asyncio.Task[object]) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    for task in tasks:
        task.cancel()
    await asyncio.gather(process.wait(), *tasks, return_exceptions=True)


def _reason(complaint: str) -> str:
    if "matches no streams" in complaint:
        return "the file has no audio stream: send a file with sound"
    lines = [line.split("] ")[-1].strip() for line in complaint.splitlines() if line.strip()]
    detail = lines[-1].removeprefix("pipe:0: ").removeprefix("/dev/stdin: ") if lines else ""
    return (
        f"the bytes cannot be decoded as audio ({detail or 'no samples came out'}): send a "
        "complete file in a common format, such as mp3, wav, flac, ogg, webm or m4a"
    )


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
