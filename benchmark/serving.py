"""Whole HTTP requests against our server in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import aiohttp
import psutil  # type: ignore[import-untyped,unused-ignore]

from benchmark import recordings, stages
from benchmark.clips import Clip
from benchmark.environments import ROOT
from benchmark.level import Amount, Level, Target, run
from benchmark.reporting import Figures, figures
from benchmark.serve import MUTE
from benchmark.tables import aligned
from benchmark.worker import MIB, peak_bytes, reset_peak

ROUTE = "/asr?language=en&timestamps=none"
LONG = 1191  # seconds: 19 min 51 s
FILES = (5, 30, LONG, 9000)  # seconds: a command, a window, and the files others were timed with
FORMATS = ("wav", "mp3")
CONCURRENCY = (1, 4, 16, 64, 128)
MUTE_CONCURRENCY = (1, 16)
MOST_AUDIO = {MUTE: 20_000, "cpu": 1_500, "cuda": 40_000}  # seconds in one level
WORTHWHILE_AUDIO = {MUTE: 300, "cpu": 60, "cuda": 6_000}  # seconds, where callers repeat theirs
REPEATS = 4  # of each caller at most
START_S = 300.0
STOP_S = 60.0


@dataclass(frozen=True)
class Served:
    """One level of requests, all alike."""

    engine: str
    format: str
    seconds: int  # of one file
    windows: int  # in one file
    load: Figures
    cpu_ms: float  # of the server, for each second of audio
    peak_mib: float  # of the server, resident

    @property
    def windows_per_second(self) -> float:
        return self.windows * self.load.requests_per_second


@dataclass(frozen=True)
class First:
    """How long a caller waits for words of a long file, streamed; seconds."""

    long: float  # until the first words of 19 min 51 s
    alone: float  # until the first words of a single window


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[bytes]
    url: str

    def cpu_seconds(self) -> float:
        """Of the server and of its decoders, those that have ended and those that run."""
        process = psutil.Process(self.process.pid)
        times = process.cpu_times()
        running = sum(sum(child.cpu_times()[:2]) for child in process.children())
        spent = times.user + times.system + times.children_user + times.children_system
        return float(spent + running)


def measure(
    checkpoint: Path, device: str, dtype: str, tokens: int, tell: Callable[[str], None]
) -> tuple[list[Served], First]:
    """Every file, format and concurrency that is worth its time, mute and with the engine."""
    found = []
    for engine, pace in ((MUTE, MUTE), ("whisper", device)):
        with serving(engine, checkpoint, device, dtype, tokens) as server:
            for format_, seconds, concurrency in matrix(engine, MOST_AUDIO[pace]):
                most = max(concurrency, WORTHWHILE_AUDIO[pace] // seconds)
                level, requests = Level(concurrency), min(most, REPEATS * concurrency)
                found.append(_measured(server, engine, format_, seconds, level, requests))
                load = found[-1].load
                tell(
                    f"{engine}, {seconds} s {format_}, {concurrency} at once: "
                    f"{load.realtime_multiple:.1f} x real time, {load.failures or 'none failed'}"
                )
            first = First(*(asyncio.run(first_words(server, size)) for size in (LONG, 30)))
    return found, first


async def first_words(server: Server, seconds: int) -> float:
    """Seconds from sending a WAV file until its first words come back."""
    body = io.BytesIO(recordings.wav(recordings.made_up(seconds)))
    address = f"{server.url}{ROUTE}&stream=true"
    started = time.monotonic()
    async with aiohttp.ClientSession() as session, session.post(address, data=body) as reply:
        async for line in reply.content:
            if b"delta" in line:
                return time.monotonic() - started
    raise RuntimeError("the stream ended without a word")


def matrix(engine: str, most_audio: float) -> Iterator[tuple[str, int, int]]:
    for seconds in FILES:
        for format_ in FORMATS:
            for concurrency in MUTE_CONCURRENCY if engine == MUTE else CONCURRENCY:
                if seconds * concurrency <= most_audio:
                    yield format_, seconds, concurrency


def _measured(
    server: Server, engine: str, format_: str, seconds: int, level: Level, requests: int
) -> Served:
    recording = recordings.made_up(seconds)
    data = recordings.wav(recording) if format_ == "wav" else recordings.mp3(recording)
    clip = Clip(f"{seconds}.{format_}", data)
    windows = len(stages.cut_up([recording]))
    target = Target(server.url, ROUTE, timeout_s=3600.0, patient=True)
    amount = Amount(requests=requests)
    reset_peak(server.process.pid)
    before = server.cpu_seconds()
    asyncio.run(run(level, target, [clip], amount, lambda: None))
    spent = server.cpu_seconds() - before
    load = figures(level)
    heard = load.audio_seconds + seconds  # and the request that warmed up
    peak = peak_bytes(server.process.pid) / MIB
    return Served(engine, format_, seconds, windows, load, 1000 * spent / heard, peak)


@contextlib.contextmanager
def serving(
    engine: str, checkpoint: Path, device: str, dtype: str, tokens: int
) -> Iterator[Server]:
    """Our server, ready, for as long as the context lasts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "MODEL_ID": str(checkpoint),
        "ENGINE": "auto" if engine == MUTE else engine,
        "DEVICE": device,
        "DTYPE": dtype,
        "MAX_NEW_TOKENS": str(tokens),
        "MAX_QUEUE_SECONDS": str(10 * MOST_AUDIO["cuda"]),
        "LOG_LEVEL": "WARNING",
        "PYTHONPATH": str(ROOT),
    }
    if engine != MUTE:  # made-up sound is no speech, and its text no sense
        settings |= {"VAD": "off", "TEMPERATURE_FALLBACK": "0"}
    command = [sys.executable, "-m", "benchmark.serve", engine]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **settings})
    try:
        _wait_until_ready(process, port)
        yield Server(process, f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(STOP_S)


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with exit code {process.returncode}")
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        with contextlib.suppress(OSError, HTTPException), contextlib.closing(connection):
            connection.request("GET", "/hc")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"the server was not ready within {START_S:g} s")


def stage_costs() -> dict[str, dict[str, float]]:
    """CPU outside the model for each format and stage, in ms for a second of audio."""
    recording = recordings.made_up(LONG)
    sent = {"wav": recordings.wav(recording), "mp3": recordings.mp3(recording)}
    return {format_: asyncio.run(stages.measure(data)) for format_, data in sent.items()}


def multiples(served: Sequence[Served]) -> dict[str, float]:
    """The figures that goals are stated in."""
    ours = [one for one in served if one.engine == "whisper"]
    many = [one.load.realtime_multiple for one in ours if one.load.concurrency >= 64]
    long = [
        one.load.realtime_multiple
        for one in ours
        if one.seconds == LONG and one.load.concurrency == 1
    ]
    mute = [one for one in served if one.engine == MUTE]
    cpu = [one.cpu_ms for one in mute if one.format == "wav" and one.seconds >= 30]
    health = [one.load.health.p99 * 1000 for one in mute if one.load.health is not None]
    named = {"many": many, "long": long, "cpu_ms": cpu, "health_ms": health}
    return {name: max(found) for name, found in named.items() if found}


def table(served: Sequence[Served]) -> str:
    """Every level of requests, as Markdown."""
    rows = [["engine, file, at once", *COLUMNS]]
    for one in served:
        load = one.load
        latency, health = load.latency, load.health
        rows.append(
            [
                f"{one.engine}, {one.seconds} s {one.format}, {load.concurrency}",
                str(load.requests),
                str(sum(load.failures.values())),
                f"{load.realtime_multiple:.1f}",
                f"{one.windows_per_second:.2f}",
                f"{latency.p50:.2f}" if latency else "-",
                f"{latency.p95:.2f}" if latency else "-",
                f"{one.cpu_ms:.2f}",
                f"{one.peak_mib:.0f}",
                f"{1000 * health.p99:.0f}" if health else "-",
            ]
        )
    return "\n".join(aligned(rows))


COLUMNS = (
    "requests",
    "failed",
    "x real time",
    "windows/s",
    "p50 s",
    "p95 s",
    "CPU ms per s",
    "peak MiB",
    "/hc p99 ms",
)
