"""Decodes audio with the program ffmpeg, in a process of its own."""

from __future__ import annotations

import asyncio
import functools
import shutil
from collections.abc import AsyncGenerator, AsyncIterator

import ffmpeg
import imageio_ffmpeg
import numpy as np

from asr.audio.damage import Damage
from asr.audio.ffmpeg_messages import LEVEL
from asr.audio.ffmpeg_process import started
from asr.audio.streams import Source
from asr.pcm import (
    BLOCK_SECONDS,
    SAMPLE_RATE,
    Samples,
    mixed_integers,
)

PROGRAM = "ffmpeg"  # The program is looked for by this name.
READ_BYTES = BLOCK_SECONDS * SAMPLE_RATE * 2  # One block of 16-bit PCM is read at a time.
STALL_SECONDS = 60.0  # A decoder that neither reads nor writes for so many seconds is killed.

# Demuxers that read one stream and nothing else: no playlist, no script, no network.
FORMATS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dts,eac3,flac,flv,gsm,loas,"
    "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,ogg,rm,tta,w64,wav,wv,xwma,mxf"
)


def find_program(name: str = PROGRAM) -> str | None:
    """The path of ffmpeg, the system's or imageio-ffmpeg's; None where there is none to run."""
    if (found := shutil.which(name)) is not None or name != PROGRAM:
        return found
    try:
        bundled: str = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:  # it has none for this machine
        return None
    return shutil.which(bundled)


class Ffmpeg:
    """Runs the program at a path; starts block the event loop and come one at a time.

    Args:
        stall_seconds: a process that makes no progress for so long is killed.
    """

    def __init__(self, path: str, stall_seconds: float = STALL_SECONDS) -> None:
        self._path = path
        self._stall_seconds = stall_seconds
        self._starts = asyncio.Lock()

    async def blocks(self, source: Source, damage: Damage) -> AsyncGenerator[Samples]:
        """Decode `source`; the process ends with the generator.

        Args:
            damage: gets what the program says of the bytes.

        Raises:
            BadAudio: the program writes no samples, and says why.
            DecoderFailed: it hangs, is killed, or ends without a reason.
            OutOfResources: it cannot be started now.
        """
        name = "pipe:0" if isinstance(source, AsyncIterator) else "/dev/stdin"
        async with self._starts:
            process = await started(ffmpeg_command(self._path, name), source, 2 * READ_BYTES)
        try:
            left, count = b"", 0
            while data := await process.output(READ_BYTES, self._stall_seconds):
                data = left + data
                left = data[len(data) // 2 * 2 :]
                count += len(data) // 2
                yield mixed_integers(np.frombuffer(data, "<i2", len(data) // 2)[:, None])
            await process.finish(count / SAMPLE_RATE, self._stall_seconds, damage)
        finally:
            await process.end()


@functools.lru_cache(8)
def ffmpeg_command(path: str, name: str) -> tuple[str, ...]:
    """The command that decodes `name` to 16-bit 16 kHz mono PCM on its standard output."""
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
    quiet = output.global_args("-nostdin", "-hide_banner", "-nostats", "-loglevel", LEVEL)
    return tuple(quiet.compile(cmd=path))
