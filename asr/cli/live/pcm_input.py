"""Audio of a file or of standard input, as 16-bit PCM in pieces, at the pace of time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from asr.audio.decoder import Decoder
from asr.concurrency import run_in_daemon
from asr.pcm import FULL_SCALE, SAMPLE_RATE, Samples

PIECE_SECONDS = 0.1  # So much audio is handed on at a time.
SAMPLE_BYTES = 2  # A sample has 16 bits.
READ_BYTES = 64 * 1024  # At most so many bytes are read from standard input at a time.
# Standard input may be so many seconds ahead of time: what its writer recorded while the model
# was loaded is read at once.
AHEAD_SECONDS = 30.0


class PcmInput(Protocol):
    """Audio of one channel."""

    @property
    def rate(self) -> int:
        """Samples per second."""
        ...

    def pieces(self) -> AsyncGenerator[bytes]:
        """Yield 16-bit PCM, little endian, as it comes."""
        ...


class RealTimePace:
    """Lets audio pass no faster than time, except for the first seconds.

    Args:
        ahead: so many seconds may be ahead of time.
    """

    def __init__(self, ahead: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._ahead = ahead
        self._clock = clock
        self._start: float | None = None
        self._seconds = 0.0  # of audio that has passed

    def wait(self, seconds: float) -> float:
        """The seconds to wait until the next audio, of so many seconds, may pass."""
        now = self._clock()
        if self._start is None:
            self._start = now
        self._seconds += seconds
        return max(0.0, self._start + self._seconds - self._ahead - now)


class FileInput:
    """Any file that a server decodes; without a pace, as fast as it is taken.

    Raises:
        CallerError: it is no audio; of `pieces`, as of all that decode.
    """

    rate = SAMPLE_RATE

    def __init__(self, path: Path, pace: RealTimePace | None) -> None:
        self._path = path
        self._pace = pace

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Decode the file; each piece comes when it would have been spoken."""
        with contextlib.closing(Decoder(0.0, 1)) as decoder, self._path.open("rb") as file:
            async with contextlib.aclosing(decoder.blocks(file)) as blocks:
                async for block in blocks:
                    for piece in _pieces(pcm16(block), self.rate):
                        await _passed(self._pace, piece, self.rate)
                        yield piece


class StandardInput:
    """Raw 16-bit PCM of one channel, little endian, from a file that is open for reading."""

    def __init__(self, rate: int, pace: RealTimePace | None, file: BinaryIO) -> None:
        self.rate = rate
        self._pace = pace
        self._file = file

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Read to the end; a byte too many is dropped."""
        rest = b""
        while data := await run_in_daemon(lambda: os.read(self._file.fileno(), READ_BYTES)):
            data = rest + data
            whole = len(data) // SAMPLE_BYTES * SAMPLE_BYTES
            rest = data[whole:]
            for piece in _pieces(data[:whole], self.rate):
                await _passed(self._pace, piece, self.rate)
                yield piece


def pcm16(samples: Samples) -> bytes:
    """Samples of -1 to 1 as 16-bit PCM, little endian."""
    scaled = np.clip(np.rint(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
    return scaled.astype("<i2").tobytes()


def _pieces(data: bytes, rate: int) -> list[bytes]:
    size = round(PIECE_SECONDS * rate) * SAMPLE_BYTES
    return [data[start : start + size] for start in range(0, len(data), size)]


async def _passed(pace: RealTimePace | None, piece: bytes, rate: int) -> None:
    if pace is not None:
        await asyncio.sleep(pace.wait(len(piece) / SAMPLE_BYTES / rate))
