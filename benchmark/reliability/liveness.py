"""Probe the health check while a long file and many short requests are transcribed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from benchmark.load.clips import Clip
from benchmark.load.level import Amount, Level, Target, run
from benchmark.load.reporting import Figures, figures


@dataclass(frozen=True)
class LoadWithProbes:
    """Says what loads the server and how long it is probed."""

    long: Clip  # one caller sends this again and again
    short: Clip  # all others send this
    queued: int = 64  # other callers
    seconds: float = 100.0
    probe_hz: float = 10.0


@dataclass(frozen=True)
class Liveness:
    """Holds the figures of the long file's caller, and of the others with the probes."""

    long: Figures
    short: Figures

    @property
    def probe_failures(self) -> int:
        return sum(self.short.health_failures.values())

    @property
    def request_failures(self) -> int:
        return sum(self.long.failures.values()) + sum(self.short.failures.values())


async def probe_under_load(url: str, load: LoadWithProbes) -> Liveness:
    """Load the server at `url`, and probe `/hc` meanwhile."""
    amount = Amount(seconds=load.seconds)
    alone, others = Level(1), Level(load.queued)
    unprobed = Target(url, patient=True, probe_hz=0.0, timeout_s=3600.0)
    probed = Target(url, patient=True, probe_hz=load.probe_hz, timeout_s=3600.0)
    await asyncio.gather(
        run(alone, unprobed, [load.long], amount, lambda: None, load.short),
        run(others, probed, [load.short], amount, lambda: None),
    )
    return Liveness(figures(alone), figures(others))
