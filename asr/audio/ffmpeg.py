"""The program ffmpeg: what it takes, and PCM out of it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
from collections.abc import AsyncGenerator, AsyncIterator

import ffmpeg
import imageio_ffmpeg
import numpy as np

from asr.audio.libsndfile import log
from asr.audio.streams import Source
from asr.errors import BadAudio
from asr.pcm import (
    BLOCK_SECONDS,
    SAMPLE_RATE,
    Samples,
    mixed_integers,
)

READ_BYTES = BLOCK_SECONDS * SAMPLE_RATE * 2  # of 16-bit PCM from ffmpeg


STALL_SECONDS = 60  # without output once all input is given


STDERR_BYTES = 4096


NICENESS = 10  # of a decoder's process, above the server's


# Demuxers that read one stream and nothing else: no playlist, no script, no network.
FORMATS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dts,eac3,flac,flv,gsm,loas,"
    "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,ogg,rm,tta,w64,wav,wv,xwma,mxf"
)


async def ffmpeg_blocks(source: Source, starts: asyncio.Lock) -> AsyncGenerator[Samples]:
    """What the program ffmpeg makes of `source`; its process ends with the generator.

    Args:
        starts: held while the process starts, which stops the loop: others get turns between.
    """
    stream = source if isinstance(source, AsyncIterator) else None
    async with starts:
        process = await asyncio.create_subprocess_exec(
            *ffmpeg_command("/dev/stdin" if stream is None else "pipe:0"),
            stdin=source if stream is None else asyncio.subprocess.PIPE,  # type: ignore[arg-type]
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=2 * READ_BYTES,
        )
    _put_behind(process.pid)
    complaint = asyncio.create_task(_first_bytes(process.stderr))
    feeder = asyncio.create_task(_feed(process, stream))
    try:
        left, is_empty = b"", True
        while data := await _read_output(process.stdout, feeder):
            is_empty = False
            data = left + data
            left = data[len(data) // 2 * 2 :]
            yield mixed_integers(np.frombuffer(data, "<i2", len(data) // 2)[:, None])
        if feeder.done():
            feeder.result()  # the source's own failure comes before the decoder's
        await process.wait()
        if is_empty:
            raise BadAudio(_reason((await complaint).decode("utf-8", "replace")))
        if process.returncode:
            log.info("audio damaged: %r", (await complaint).decode("utf-8", "replace"))
    finally:
        await _end(process, feeder, complaint)


def _put_behind(pid: int) -> None:
    """Let the server's own threads run first: so many decoders at once hold up every answer."""
    with contextlib.suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)


@functools.cache
def ffmpeg_command(name: str) -> tuple[str, ...]:
    """The command that turns `name` into 16-bit 16 kHz mono PCM on its standard output."""
    program = shutil.which("ffmpeg") or imageio_ffmpeg.get_ffmpeg_exe()
    source = ffmpeg.input(name, protocol_whitelist="pipe,file", format_whitelist=FORMATS, threads=1)
    output = source.output(
        "pipe:1",
        map="0:a:0",
        vn=None,
        sn=None,
        dn=None,
        f="s16le",
        ac=1,
        ar=SAMPLE_RATE,
        flush_packets=0,  # a second at a time, not every frame of the codec
    )
    quiet = output.global_args("-nostdin", "-hide_banner", "-loglevel", "error")
    return tuple(quiet.compile(cmd=program))


async def _read_output(output: asyncio.StreamReader | None, feeder: asyncio.Task[None]) -> bytes:
    assert output is not None
    while True:
        has_all_input = feeder.done()
        try:
            async with asyncio.timeout(STALL_SECONDS):
                return await output.read(READ_BYTES)
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
    rest = _first_bytes(process.stdout)  # `wait` needs the pipe read to its end
    await asyncio.gather(process.wait(), rest, *tasks, return_exceptions=True)


def _reason(complaint: str) -> str:
    if "matches no streams" in complaint:
        return "the file has no audio stream: send a file with sound"
    lines = [line.split("] ")[-1].strip() for line in complaint.splitlines() if line.strip()]
    detail = lines[-1].removeprefix("pipe:0: ").removeprefix("/dev/stdin: ") if lines else ""
    return (
        f"the bytes cannot be decoded as audio ({detail or 'no samples came out'}): send a "
        "complete file in a common format, such as mp3, wav, flac, ogg, webm or m4a"
    )
