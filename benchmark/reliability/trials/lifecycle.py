"""Measure how a server starts, ends, grows, and lives with connections that are idle."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from benchmark.accuracy.scoring import quantile
from benchmark.local_server import NotReady
from benchmark.paths import ROOT, SAMPLES
from benchmark.reliability import namespace
from benchmark.reliability.connections import hold_idle
from benchmark.reliability.ending import end_in_flight
from benchmark.reliability.observed import Observed
from benchmark.reliability.server import SERVER, ServerProcess
from benchmark.reliability.verdict import Verdict, at_most, reported, unmeasured
from benchmark.soak import cards, clips
from benchmark.soak.judge import verdicts
from benchmark.soak.soak import SETTINGS, Plan, Soak

IN_FLIGHT = 6  # So many requests are in flight when SIGTERM comes.
DRAIN_S = 30.0  # The process ends within so many seconds: the default of DRAIN_TIMEOUT_S.
SOAK_S = 600.0  # The growth is measured during so many seconds: more than 1,000 requests.
LEAK_S = 240.0  # A planted leak must be found within so many seconds.
READY_S = 20.0  # A server is ready so many seconds after its start.
FIRST_SHARE = 1.2  # The first request takes at most so many times as long as later ones.
IDLE, DESCRIPTORS = 10_000, 1024  # So many idle connections come to a server with so many.
PROBES = 100  # So many probes of the health check are sent meanwhile.
GPU = "no GPU here: `python -m pytest -m gpu tests/hardening`"


def ending(folder: Path) -> list[Verdict]:
    """Send SIGTERM with six requests in flight and a connection that is kept alive."""
    made = [clip for clip in clips.speech() if "-x" in clip.name]
    ways = (cards.WAYS[0], cards.WAYS[1])
    asked = [way.card(clip) for clip in made for way in ways][:IN_FLIGHT]
    server = ServerProcess(folder)
    server.start()
    try:
        ended = asyncio.run(end_in_flight(Observed(server), asked))
    finally:
        server.end()
    figure = f"{ended.right} of {ended.in_flight}"
    right = ended.right == ended.in_flight == IN_FLIGHT
    turned_away = ended.newcomer in {"ClientConnectorError", "503"}
    wrong = f": {'; '.join(ended.wrong)}" if ended.wrong else ""
    newcomer = f"{ended.newcomer} in {ended.newcomer_s:.2f} s"
    return [
        Verdict("right answers of those in flight", figure + wrong, f"{IN_FLIGHT} of 6", right),
        Verdict(
            "a new request",
            newcomer,
            "refused or 503, ≤ 0.5 s",
            turned_away and ended.newcomer_s <= 0.5,
        ),
        at_most("exit with an open keep-alive connection", ended.exit_s, DRAIN_S, "s"),
        at_most("exit code", ended.code, 0),
    ]


def growth(folder: Path) -> list[Verdict]:
    """Soak a server for ten minutes, and a leaking one for four, which must be found."""
    soak = Soak(Plan(SOAK_S), ServerProcess(folder / "whole", SETTINGS))
    asyncio.run(_ended(soak))
    plan = Plan(LEAK_S, leak="memory")
    leaky = Soak(plan, ServerProcess(folder / "leaky", SETTINGS, plan.command()))
    asyncio.run(_ended(leaky))
    found = [row for row in verdicts(leaky.record) if row.name.startswith("RSS")]
    is_found = any(row.passes is False for row in found)
    figure = ", ".join(row.figure for row in found)
    return [*verdicts(soak.record), Verdict("a planted leak", figure, "is found", is_found)]


async def _ended(soak: Soak) -> None:
    try:
        await soak.run()
    finally:
        await asyncio.to_thread(soak.server.end)


def start(_: Path) -> list[Verdict]:
    """Start from the embedded weights without a network; the GPU rows stay unmeasured."""
    gpu = [
        unmeasured("batch of 64 under a cap of 6 GB of GPU memory", "split, 0 answers of 5xx", GPU),
        unmeasured(
            "one injected CUDA out-of-memory error in 50", "0 answers of 5xx, next 50 good", GPU
        ),
    ]
    if (reason := namespace.why_not()) is not None:
        return [unmeasured("start without a network", f"≤ {READY_S:g} s", reason), *gpu]
    command = namespace.inside([sys.executable, "-m", "benchmark.reliability.start"])
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        failure = done.stderr.strip().splitlines()[-1:]
        return [Verdict("start without a network", str(failure), "ready", False), *gpu]
    measured = json.loads(done.stdout)
    early = ", ".join(f"{n} x {what}" for what, n in measured["early"].items()) or "nothing"
    first = measured["first_s"] / measured["steady_s"]
    mark = "503, or the port is closed"
    closed = set(measured["early"]) <= {"connection refused", "503"}
    return [
        at_most("ready without a network", measured["ready_s"], READY_S, "s"),
        Verdict("before that", early, mark, closed),
        at_most("first request beside later ones", first, FIRST_SHARE, "times"),
        *gpu,
    ]


def idle(folder: Path) -> list[Verdict]:
    """Hold 10,000 idle connections against a server with 1,024 descriptors."""
    limited = f'ulimit -n {DESCRIPTORS}; exec "$0" "$@"'
    server = ServerProcess(folder, {"LOG_LEVEL": "WARNING"}, ("bash", "-c", limited, *SERVER))
    clip = (SAMPLES / "en-short.flac").read_bytes()
    try:
        server.start()
        held = asyncio.run(hold_idle(server.port, IDLE, clip, PROBES))
        log_bytes = server.log.stat().st_size
    except NotReady as error:
        return [Verdict("start with few descriptors", str(error), "ready", False)]
    finally:
        server.end()
    slowest = 1000 * quantile(held.probes, 0.99)
    return [
        at_most(f"failed of {PROBES} probes, {held.opened:,} accepted", held.probe_failures, 0),
        at_most("p99 of `/hc`", slowest if held.probes else float("inf"), 1000, "ms"),
        Verdict(
            "transcriptions meanwhile",
            ", ".join(map(str, held.statuses)),
            "200",
            set(held.statuses) == {200},
        ),
        reported("log written", f"{log_bytes / 1e6:.2f} MB"),
    ]
