"""Send small files that unpack to a lot, and watch the most memory that they cost."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import psutil

from benchmark.paths import SAMPLES
from benchmark.process_usage import MIB
from benchmark.reliability.server import ServerProcess
from benchmark.reliability.usage import living_children

ANSWER_S = 600.0  # A bomb that is not answered within so many seconds has succeeded.
LOOK_S = 0.05  # Memory is read this often, in seconds.
OPUS_BYTES = 25 * 2**20  # The Opus file has so many bytes, the limit of OpenAI's API.
ZIPPED_MIB = 512  # The gzip body unpacks to so many MiB.


@dataclass(frozen=True)
class Exploded:
    """Holds how bombs of one kind were answered, and what each cost."""

    statuses: list[int]
    seconds: float  # until the last answer
    extra_mib: float  # more than before, server and decoders together, for each request


def send(
    server: ServerProcess, bodies: Sequence[bytes], headers: Mapping[str, str] | None = None
) -> Exploded:
    """Send all `bodies` at once, and watch the memory until all are answered."""
    began = time.monotonic()
    with _peak(server.pid) as peak, ThreadPoolExecutor(len(bodies)) as callers:
        statuses = list(callers.map(lambda body: _status(server.port, body, headers), bodies))
    return Exploded(statuses, time.monotonic() - began, peak.extra / MIB / len(bodies))


def opus() -> bytes:
    """Return 25 MiB of Opus at 6 kbit/s, more than eight hours."""
    minute = _encoded("-stream_loop", "14", "-c:a", "libopus", "-b:a", "6k", "-ac", "1", "a.opus")
    return minute * (OPUS_BYTES // len(minute))


def flac() -> bytes:
    """Return FLAC with the highest rate and the most channels that a header may claim."""
    return _encoded("-ar", "655350", "-ac", "8", "-frame_size", "4608", "a.flac")


def zipped() -> bytes:
    """Return a gzip body of zeros, half a MiB that unpacks to 512."""
    packer = zlib.compressobj(9, wbits=31)
    parts = [packer.compress(bytes(2**20)) for _ in range(ZIPPED_MIB)]
    return b"".join([*parts, packer.flush()])


class Peak:
    """Holds the most memory of a process and its children, in bytes."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._before = self._now()
        self._most = 0

    @property
    def extra(self) -> float:
        """Return how much more it was than at the beginning."""
        return max(0, self._most - self._before)

    def look(self) -> None:
        self._most = max(self._most, self._now())

    def _now(self) -> int:
        total = int(self._process.memory_info().rss)
        for child in living_children(self._process):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += child.memory_info().rss
        return total


@contextlib.contextmanager
def _peak(pid: int) -> Iterator[Peak]:
    peak, is_over = Peak(psutil.Process(pid)), threading.Event()

    def watch() -> None:
        while not is_over.wait(LOOK_S):
            peak.look()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        is_over.set()
        watcher.join()


def _status(port: int, body: bytes, headers: Mapping[str, str] | None) -> int:
    """Return the status; 0 when the connection broke without an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    with contextlib.closing(connection):
        with contextlib.suppress(ConnectionError):  # refused before all was sent
            connection.request("POST", "/asr", body, dict(headers or {}))
        with contextlib.suppress(OSError, http.client.HTTPException):
            return connection.getresponse().status
    return 0


def _encoded(*arguments: str) -> bytes:
    *options, name = arguments
    loop, rest = (options[:2], options[2:]) if options[0] == "-stream_loop" else ([], options)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / name
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", *loop]
        source = str(SAMPLES / "en-short.flac")
        subprocess.run([*command, "-i", source, *rest, str(written)], check=True)
        return written.read_bytes()
