"""Decodes audio with the program ffmpeg, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import shutil
from collections.abc import AsyncGenerator, AsyncIterator

import ffmpeg
import imageio_ffmpeg
import numpy as np

from asr.audio.streams import Source
from asr.errors import BadAudio
from asr.pcm import (
    BLOCK_SECONDS,
    SAMPLE_RATE,
    Samples,
    mixed_integers,
)

log = logging.getLogger(__name__)

READ_BYTES = BLOCK_SECONDS * SAMPLE_RATE * 2  # One block of 16-bit PCM is read at a time.
STALL_SECONDS = 60  # A decoder that has all its input and writes nothing for so long is ended.
STDERR_BYTES = 4096  # The first bytes of the program's messages are kept, at most so many.
NICENESS = 10  # A decoder's process has a priority lower than the server's by so much.

# Demuxers that read one stream and nothing else: no playlist, no script, no network.
FORMATS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dts,eac3,flac,flv,gsm,loas,"
    "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,ogg,rm,tta,w64,wav,wv,xwma,mxf"
)


async def ffmpeg_blocks(source: Source, starts: asyncio.Lock) -> AsyncGenerator[Samples]:
    """Decode `source` with the program ffmpeg; its process ends with the generator.

    Args:
        starts: held while a process starts: starts block the event loop and come one at a time.

    Raises:
        BadAudio: the program writes no samples, or makes no progress.
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
    _lower_priority(process.pid)
    messages = asyncio.create_task(_read_first(process.stderr))
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
            raise BadAudio(_reason((await messages).decode("utf-8", "replace")))
        if process.returncode:
            log.info("audio damaged: %r", (await messages).decode("utf-8", "replace"))
    finally:
        await _end(process, feeder, messages)


def _lower_priority(pid: int) -> None:
    """Lower the priority of a process, because many decoders at once would delay every answer."""
    with contextlib.suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)


@functools.cache
def ffmpeg_command(name: str) -> tuple[str, ...]:
    """The command that decodes `name` to 16-bit 16 kHz mono PCM on its standard output."""
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
    """Write `stream` to the process, as fast as it reads; then close its input."""
    if stream is None:
        return
    assert process.stdin is not None
    try:
        async for data in stream:
            if not await _write(process.stdin, data):
                return
    finally:
        process.stdin.close()


async def _write(decoder: asyncio.StreamWriter, data: bytes) -> bool:
    """Write `data`; return False where the process has closed its input."""
    try:
        decoder.write(data)
        await decoder.drain()
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


async def _read_first(stream: asyncio.StreamReader | None) -> bytes:
    """Read `stream` to its end; return its first bytes."""
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
    rest = _read_first(process.stdout)  # `wait` needs the pipe read to its end
    await asyncio.gather(process.wait(), rest, *tasks, return_exceptions=True)


def _reason(messages: str) -> str:
    if "matches no streams" in messages:
        return "the file has no audio stream: send a file with sound"
    lines = [line.split("] ")[-1].strip() for line in messages.splitlines() if line.strip()]
    detail = lines[-1].removeprefix("pipe:0: ").removeprefix("/dev/stdin: ") if lines else ""
    return (
        f"the bytes cannot be decoded as audio ({detail or 'no samples came out'}): send a "
        "complete file in a common format, such as mp3, wav, flac, ogg, webm or m4a"
    )
