"""Send whole HTTP requests from many callers at once, and measure them."""

from __future__ import annotations

import asyncio
import contextlib
import io
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import aiohttp

from benchmark import recordings
from benchmark.engine_comparison.goals import GOAL_TOKENS
from benchmark.load import stages
from benchmark.load.clips import Clip
from benchmark.load.level import Amount, Level, Target, run
from benchmark.load.reporting import Figures, figures
from benchmark.load.server_engines import MUTE
from benchmark.load.server_process import WHISPER, Server, Setup
from benchmark.process_usage import MIB, peak_bytes, reset_peak
from benchmark.tables import aligned

# All requests go here, so that none spends a pass on detecting the language.
ROUTE = "/asr?language=en&timestamps=none"
WINDOW = recordings.WINDOW_SECONDS  # The server cuts windows of so many seconds.
LONG = 1191  # The long file lasts 19 min 51 s, in seconds.
# Files last so many seconds: a command, a window, and what others were timed with.
FILES = (5, WINDOW, LONG, 9000)
FORMATS = ("wav", "mp3")  # Files are made in these formats.
CALLERS = (1, 4, 16, 64, 128)  # So many callers send at once.
MUTE_CALLERS = (1, 16, 128)  # So many callers send to the mute engine at once.
# Several callers together send at most so many seconds of audio at once.
MOST_AUDIO = {MUTE: 20_000, "cpu": 4_000, "cuda": 40_000}
# Callers send their files again until a case has so many seconds of audio.
WORTHWHILE_AUDIO = {MUTE: 300, "cpu": 60, "cuda": 6_000}
REPEATS = 4  # A caller sends its file at most so many times.
TOKEN_CALLERS = 16  # Other numbers of tokens are compared with so many callers at once.
LONGEST_S = 3600.0  # A case ends after so many seconds, whatever is unanswered.


@dataclass(frozen=True)
class Case:
    """Describes requests that are all alike."""

    format: str
    seconds: int  # of one file
    callers: int  # at once
    requests: int

    def __str__(self) -> str:
        return f"{self.seconds} s {self.format}, {self.callers} at once"

    @property
    def windows(self) -> int:
        """Return the windows of all requests together."""
        return made(self.format, self.seconds)[1] * self.requests


@dataclass(frozen=True)
class HttpFigures:
    """Holds the figures of one case."""

    engine: str
    tokens: str | None  # in each window, a number or "drawn"
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
    """Holds the seconds that a caller waits for the first streamed words."""

    long: float  # until the first words of 19 min 51 s
    alone: float  # until the first words of a single window

    def __str__(self) -> str:
        return f"first words: {self.alone:.2f} s of one window, {self.long:.2f} s of 19:51"


def cases(
    pace: str, files: Sequence[int], formats: Sequence[str], callers: Sequence[int]
) -> list[Case]:
    """Return the cases that are worth their time for MUTE or a device.

    The longest file goes through a model in the first of the formats alone.
    """
    kept = []
    for seconds, format_, count in product(files, formats, callers):
        is_again = seconds > LONG and format_ != formats[0] and pace != MUTE
        if not is_again and (count == 1 or seconds * count <= MOST_AUDIO[pace]):
            worthwhile = max(count, WORTHWHILE_AUDIO[pace] // seconds)
            kept.append(Case(format_, seconds, count, min(worthwhile, REPEATS * count)))
    return kept


def measured(server: Server, setup: Setup, case: Case, longest_s: float = LONGEST_S) -> HttpFigures:
    """Send what `case` says, after one short request that is not counted.

    What is not answered within `longest_s` is not in the figures.
    """
    clip, windows = made(case.format, case.seconds)
    warm_up, _ = made(case.format, min(case.seconds, WINDOW))
    target = Target(server.url, ROUTE, timeout_s=longest_s, patient=True)
    level = Level(case.callers)
    reset_peak(server.process.pid)
    before = server.cpu_seconds()
    work = run(level, target, [clip], Amount(case.requests), lambda: None, warm_up)
    asyncio.run(_within(longest_s, work))
    spent = server.cpu_seconds() - before
    load = figures(level)
    audio_seconds = load.audio_seconds + min(case.seconds, WINDOW)
    return HttpFigures(
        setup.engine,
        None if setup.engine == MUTE else setup.tokens,
        case.format,
        case.seconds,
        windows,
        load,
        cpu_ms=1000 * spent / audio_seconds,
        peak_mib=peak_bytes(server.process.pid) / MIB,
    )


async def _within(seconds: float, work: Coroutine[None, None, None]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await work


@cache  # to make an MP3 file of hours takes a minute
def made(format_: str, seconds: int) -> tuple[Clip, int]:
    """Return a file of made-up sound, and how many windows it is cut into."""
    recording = recordings.made_up(seconds)
    data = recordings.wav(recording) if format_ == "wav" else recordings.mp3(recording)
    return Clip(f"{seconds}.{format_}", data), len(stages.cut_up([recording]))


def first(server: Server) -> First:
    return First(*(asyncio.run(_first_words(server, size)) for size in (LONG, WINDOW)))


async def _first_words(server: Server, seconds: int) -> float:
    """Return the seconds from sending a WAV file to its first words."""
    clip, _ = made("wav", seconds)
    address = f"{server.url}{ROUTE}&stream=true"
    started = time.monotonic()
    async with (
        aiohttp.ClientSession() as session,
        session.post(address, data=io.BytesIO(clip.data or b"")) as reply,
    ):
        async for line in reply.content:
            if b"delta" in line:
                return time.monotonic() - started
    raise RuntimeError("the stream ended without a word")


def multiples(measurements: Sequence[HttpFigures]) -> dict[str, float]:
    """Return the figures that the goals are stated in."""
    ours = [one for one in measurements if one.engine == WHISPER and one.tokens == str(GOAL_TOKENS)]
    many = [one.load.realtime_multiple for one in ours if one.load.concurrency >= 64]
    long = [
        one.load.realtime_multiple
        for one in ours
        if one.seconds == LONG and one.load.concurrency == 1
    ]
    mute = [one for one in measurements if one.engine == MUTE]
    cpu = [one.cpu_ms for one in mute if one.format == "wav" and one.seconds >= WINDOW]
    health = [one.load.health.p99 * 1000 for one in mute if one.load.health is not None]
    named = {"many": many, "long": long, "cpu_ms": cpu, "health_ms": health}
    return {name: max(values) for name, values in named.items() if values}


def table(measurements: Sequence[HttpFigures]) -> str:
    """Return every case as a Markdown table."""
    return "\n".join(aligned([["engine, file, at once", *COLUMNS], *map(row, measurements)]))


def row(one: HttpFigures) -> list[str]:
    load = one.load
    latency, health, late = load.latency, load.health, load.client_lateness
    return [
        f"{one.engine}, {one.seconds} s {one.format}, {load.concurrency}",
        one.tokens or "-",
        str(load.requests),
        str(load.refusals),
        str(sum(load.failures.values())),
        f"{load.realtime_multiple:.1f}",
        f"{one.windows_per_second:.2f}",
        f"{latency.p50:.2f}" if latency else "-",
        f"{latency.p95:.2f}" if latency else "-",
        f"{one.cpu_ms:.2f}",
        f"{one.peak_mib:.0f}",
        f"{1000 * health.p99:.0f}" if health else "-",
        f"{1000 * late.p99:.0f}" if late else "-",
    ]


def in_one_line(one: HttpFigures) -> str:
    """Return a case in one line, to print while others are still to come."""
    cells = [f"{name} {cell}" for name, cell in zip(COLUMNS, row(one)[1:], strict=True)]
    failures = [f"{name}: {text}" for name, text in one.load.examples.items()]
    return ", ".join([row(one)[0], *cells, *failures])


def stage_table(costs: Mapping[str, Mapping[str, float]]) -> str:
    """Return the CPU time outside the model by stage, as Markdown.

    Each format has a column.
    """
    names = list(next(iter(costs.values())))
    rows = [[name, *(f"{costs[format_][name]:.3f}" for format_ in costs)] for name in names]
    return "\n".join(aligned([["ms of CPU for a second of audio", *costs], *rows]))


COLUMNS = (
    "tokens",
    "requests",
    "refused",
    "failed",
    "x real time",
    "windows/s",
    "p50 s",
    "p95 s",
    "CPU ms per s",
    "peak MiB",
    "/hc p99 ms",
    "client late p99 ms",
)
