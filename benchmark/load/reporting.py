"""Turn a level's measurements into figures, a table, JSON and a report."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp
import numpy as np

from benchmark.load.level import Answer, Level
from benchmark.tables import aligned

log = logging.getLogger(__name__)

REPORT_TIMEOUT_S = 30.0  # A report fails after so many seconds without an answer.


@dataclass(frozen=True)
class Spread:
    """Holds a figure's percentiles and maximum, in its own unit."""

    p50: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True)
class Figures:
    """Sums up one level of load; times in seconds."""

    concurrency: int
    requests: int
    failures: dict[str, int]  # by status, or by what broke
    examples: dict[str, str]  # the first message of each
    refusals: int  # 429 answers that were tried again
    seconds: float
    requests_per_second: float  # answered with a transcript
    audio_seconds: float
    realtime_multiple: float  # audio seconds in a second, all callers together
    words: int
    latency: Spread | None
    processing_time: Spread | None  # X-Processing-Time
    queue_time: Spread | None  # X-Queue-Time
    realtime_factor: Spread | None  # X-Realtime-Factor: one request's own
    health: Spread | None  # /hc, on a connection of its own each time
    health_probes: int
    health_failures: dict[str, int]
    client_lateness: Spread | None  # of the probes' starts: this program's own delay
    server: dict[str, str]  # model, hardware and machine, from its headers

    @property
    def failed(self) -> bool:
        return bool(self.failures or self.health_failures)


@dataclass(frozen=True)
class Destination:
    """Holds the URL that figures are sent to, from the environment."""

    url: str
    header: str
    key: str
    benchmark_id: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Destination | None:
        url = environment.get("REPORTING_API_URL", "")
        if not url:
            return None
        return cls(
            url.rstrip("/"),
            environment.get("REPORTING_AUTH_HEADER", ""),
            environment.get("REPORTING_API_KEY", ""),
            environment.get("BENCHMARK_ID", ""),
        )


def figures(level: Level) -> Figures:
    """Sum up what `level` has measured so far."""
    good = [answer for answer in level.answers if answer.failure is None]
    bad = [answer for answer in level.answers if answer.failure is not None]
    audio = sum(_numbers(good, "X-Audio-Length"))
    probes = level.probes
    return Figures(
        concurrency=level.concurrency,
        requests=len(level.answers),
        failures=dict(Counter(str(answer.failure) for answer in bad)),
        examples={str(answer.failure): answer.detail for answer in reversed(bad)},
        refusals=sum(answer.refusals for answer in level.answers),
        seconds=level.seconds,
        requests_per_second=_ratio(len(good), level.seconds),
        audio_seconds=audio,
        realtime_multiple=_ratio(audio, level.seconds),
        words=sum(answer.words for answer in good),
        latency=spread([answer.latency for answer in good]),
        processing_time=spread(_numbers(good, "X-Processing-Time")),
        queue_time=spread(_numbers(good, "X-Queue-Time")),
        realtime_factor=spread(_numbers(good, "X-Realtime-Factor")),
        health=spread(probes.latencies),
        health_probes=len(probes.latencies) + len(probes.failures),
        health_failures=dict(Counter(probes.failures)),
        client_lateness=spread(probes.lateness),
        server=_server(good[0]) if good else {},
    )


def spread(values: Sequence[float]) -> Spread | None:
    if not values:
        return None
    return Spread(*(float(value) for value in np.percentile(values, [50, 95, 99, 100])))


def table(levels: Sequence[Figures]) -> str:
    """Return the levels side by side as Markdown, then each kind's first failure."""
    rows = [["callers at once", *(str(level.concurrency) for level in levels)]]
    rows += [[label, *map(show, levels)] for label, show in _ROWS]
    lines = aligned(rows)
    for level in levels:
        for failure, example in level.examples.items():
            lines.append(f"{failure} with {level.concurrency} at once, first: {example}")
    return "\n".join(lines)


def write(path: Path, run: Mapping[str, object], levels: Sequence[Figures]) -> None:
    """Write the levels and `run`, the description of the sweep, as JSON."""
    document = {**run, "levels": [asdict(level) for level in levels]}
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


async def send(destination: Destination, run: Mapping[str, object], level: Figures) -> None:
    """POST one level's figures; a report that fails is only logged.

    The figures are printed, too.
    """
    address = "/".join(part for part in (destination.url, destination.benchmark_id) if part)
    headers = {destination.header: destination.key} if destination.header else {}
    body = {"benchmark_id": destination.benchmark_id, **run, **asdict(level)}
    timeout = aiohttp.ClientTimeout(total=REPORT_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(address, json=body, headers=headers) as reply,
        ):
            if not reply.ok:
                log.warning("the report to %s was answered %d", address, reply.status)
    except (aiohttp.ClientError, OSError, ValueError) as error:  # a timeout is an OSError
        log.warning("the report to %s failed: %s", address, error or type(error).__name__)


def _numbers(answers: Sequence[Answer], header: str) -> list[float]:
    return [float(answer.headers[header]) for answer in answers if header in answer.headers]


def _server(answer: Answer) -> dict[str, str]:
    names = ("Model-ID", "GPU-Name", "Hardware", "Salad-Machine-ID", "Salad-Container-Group-ID")
    return {
        name.lower().replace("-", "_"): answer.headers[f"X-{name}"]
        for name in names
        if f"X-{name}" in answer.headers
    }


def _ratio(amount: float, seconds: float) -> float:
    return amount / seconds if seconds else 0.0


def _counts(counts: Mapping[str, int]) -> str:
    """Return `0`, or the count and its kinds: `3 (400: 2, timeout: 1)`."""
    if not counts:
        return "0"
    kinds = ", ".join(f"{kind}: {count}" for kind, count in sorted(counts.items()))
    return f"{sum(counts.values())} ({kinds})"


def _point(name: str, point: str, scale: float = 1.0, digits: int = 2) -> Callable[[Figures], str]:
    """Return a function that shows one point of a spread.

    It shows a dash where nothing was measured.
    """

    def show(level: Figures) -> str:
        measured: Spread | None = getattr(level, name)
        return "-" if measured is None else f"{getattr(measured, point) * scale:.{digits}f}"

    return show


_ROWS: list[tuple[str, Callable[[Figures], str]]] = [
    ("requests", lambda level: str(level.requests)),
    ("failed", lambda level: _counts(level.failures)),
    ("refused, tried again (429)", lambda level: str(level.refusals)),
    ("requests/s", lambda level: f"{level.requests_per_second:.2f}"),
    ("audio, s", lambda level: f"{level.audio_seconds:.1f}"),
    ("realtime multiple", lambda level: f"{level.realtime_multiple:.1f}"),
    ("words", lambda level: str(level.words)),
    ("latency p50, s", _point("latency", "p50", digits=3)),
    ("latency p95, s", _point("latency", "p95", digits=3)),
    ("latency p99, s", _point("latency", "p99", digits=3)),
    ("latency max, s", _point("latency", "max", digits=3)),
    ("X-Processing-Time p50, s", _point("processing_time", "p50", digits=3)),
    ("X-Queue-Time p50, s", _point("queue_time", "p50", digits=3)),
    ("X-Realtime-Factor p50", _point("realtime_factor", "p50", digits=1)),
    ("/hc p50, ms", _point("health", "p50", scale=1_000)),
    ("/hc p99, ms", _point("health", "p99", scale=1_000)),
    ("/hc max, ms", _point("health", "max", scale=1_000)),
    ("/hc failed", lambda level: _counts(level.health_failures)),
    ("/hc probes", lambda level: str(level.health_probes)),
    ("client late p99, ms", _point("client_lateness", "p99", scale=1_000)),
]
