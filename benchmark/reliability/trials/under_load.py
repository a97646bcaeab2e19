"""Measure a server under load: liveness, same texts, batching, bursts, callers that leave."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from asr.pcm import Samples
from benchmark import recordings
from benchmark.accuracy.scoring import quantile
from benchmark.load.clips import Clip
from benchmark.load.level import Amount, Level, Target, run
from benchmark.load.reporting import Figures, figures
from benchmark.paths import SAMPLES
from benchmark.process_usage import MIB, peak_bytes, reset_peak
from benchmark.reliability.burst import Burst, send_at_once
from benchmark.reliability.leaving import leave
from benchmark.reliability.liveness import LoadWithProbes, probe_under_load
from benchmark.reliability.observed import Observed
from benchmark.reliability.server import ServerProcess
from benchmark.reliability.truth import compare
from benchmark.reliability.verdict import Verdict, at_most, reported, unmeasured
from benchmark.soak import cards, clips
from models.demo import synthesise

HOUR = 3600.0  # The long file lasts so many seconds.
BURST = 10_000  # So many requests come at once.
FULL = 200  # So many requests before it fill the queue, as in service.
BURST_QUEUE_S = "600"  # Their server accepts so many seconds of waiting audio.
CAPS = {"RSS": 200.0, "refusal": 50.0}  # A burst's marks: MiB of growth, ms until a refusal.
LEAVERS = 100  # So many callers leave in mid-file.
IDLE_S = 2.0  # After each has left, the engine is idle within so many seconds.
CLIENTS, REQUESTS = 32, 20  # So many clients send so many requests each.
LEVELS = (1, 8, 32)  # Batching is measured with so many callers at once.
LEVEL_S = 30.0  # Each level lasts so many seconds.


def liveness(folder: Path) -> list[Verdict]:
    """Probe `/hc` 1,000 times beside a file of an hour and 64 other callers."""
    long = Clip("hour.mp3", recordings.mp3(_hour()))
    load = LoadWithProbes(long, _sample("en-short.flac"))
    with ServerProcess(folder) as server:
        measured = asyncio.run(probe_under_load(server.url, load))
    health, late = measured.short.health, measured.short.client_lateness
    return [
        at_most(f"failed of {measured.short.health_probes:,} probes", measured.probe_failures, 0),
        at_most("p99 of `/hc`", 1000 * health.p99 if health else float("inf"), 100, "ms"),
        at_most("failed requests meanwhile", measured.request_failures, 0),
        reported("client late, p99", f"{1000 * late.p99:.0f} ms" if late else "-"),
    ]


def truth(folder: Path) -> list[Verdict]:
    """Compare the texts of 32 clients, 20 requests each, with solo runs."""
    longest = SAMPLES / "en-long.flac"
    more = (clips.encoded(longest, "mp3", times=8), clips.encoded(longest, "wav", seconds=1.0))
    deck = [card for card in cards.deck([*clips.speech(), *more]) if card.method == "POST"]
    with ServerProcess(folder) as server:
        found = asyncio.run(compare(server.url, deck, CLIENTS, REQUESTS))
    return [
        _counted(f"failed of {found.requests:,} requests", found.failures),
        _counted("texts unlike the solo run", found.unlike),
    ]


def batching(folder: Path) -> list[Verdict]:
    """Compare clips of some 5 s by 32 callers at once, and by 8, with one caller."""
    clip = _sample("en-short.flac")
    with ServerProcess(folder) as server:
        one, eight, many = (asyncio.run(_level(server.url, clip, count)) for count in LEVELS)
    gain = many.requests_per_second / one.requests_per_second
    reason = "the mark is for a GPU; on this CPU"
    rows = [
        unmeasured("requests/s of 32 callers beside one", "≥ 4 times", f"{reason} {gain:.1f} times")
    ]
    if one.latency and eight.latency:
        slower = eight.latency.p95 / one.latency.p50
        name = "p95 of 8 callers beside the p50 of one"
        rows.append(unmeasured(name, "≤ 3.5 times", f"{reason} {slower:.1f} times"))
    return [
        *rows,
        at_most("failed requests", sum(sum(f.failures.values()) for f in (one, many)), 0),
    ]


def burst(folder: Path) -> list[Verdict]:
    """Send 10,000 requests at once to a server that accepts 600 s of audio."""
    settings = {"MAX_QUEUE_SECONDS": BURST_QUEUE_S, "LOG_LEVEL": "WARNING"}
    with ServerProcess(folder, settings) as server:
        observed, data = Observed(server), _sample("en-short.flac").data or b""
        asyncio.run(send_at_once(server.port, data, FULL))  # the queue was full before
        observed.until_idle()
        before = observed.usage().rss
        reset_peak(server.pid)
        sorted_ = asyncio.run(send_at_once(server.port, data, BURST))
        grown = peak_bytes(server.pid) / MIB - before
    return burst_verdicts(sorted_, grown)


def burst_verdicts(sorted_: Burst, grown: float) -> list[Verdict]:
    late = 1000 * quantile(sorted_.refusal_s, 0.5)
    answered = sorted_.accepted + sorted_.refused
    mark = "429 or 503 with Retry-After"
    figure = f"{sorted_.accepted:,} answered 200, {sorted_.refused:,} refused"
    failures = sum(sorted_.failures.values())
    waits = ", ".join(f"{wait} s: {n}" for wait, n in sorted_.retry_after.most_common(5))
    return [
        Verdict(f"{answered + failures:,} at once", figure, mark, not sorted_.without_retry_after),
        _counted(
            "broken or other answers", [f"{n} x {why}" for why, n in sorted_.failures.items()]
        ),
        at_most("peak RSS above that before", grown, CAPS["RSS"], "MiB"),
        at_most("median time until a refusal", late, CAPS["refusal"], "ms"),
        reported("Retry-After", waits or "none"),
    ]


def leaving(folder: Path) -> list[Verdict]:
    """Hang up at 20 % of a file of an hour, 100 times."""
    data = recordings.mp3(_hour())
    with ServerProcess(folder) as server:
        measured = leave(Observed(server), data, LEAVERS)
    left = {what: count for what, count in measured.left.items() if count > 0}
    named = ", ".join(f"{count} {what}" for what, count in left.items())
    return [
        at_most(f"longest of {LEAVERS} times until idle", max(measured.idle_s), IDLE_S, "s"),
        Verdict("slots, temporary files, decoders left", named or "0", "0", not left),
    ]


async def _level(url: str, clip: Clip, callers: int) -> Figures:
    level = Level(callers)
    await run(level, Target(url, probe_hz=0.0), [clip], Amount(seconds=LEVEL_S), lambda: None)
    return figures(level)


def _hour() -> Samples:
    return synthesise.recording(HOUR, "en", seed=20, voices=3).samples


def _sample(name: str) -> Clip:
    return Clip(name, (SAMPLES / name).read_bytes())


def _counted(name: str, problems: Sequence[str]) -> Verdict:
    examples = f": {'; '.join(problems[:3])}" if problems else ""
    return Verdict(name, f"{len(problems)}{examples}", "0", not problems)
