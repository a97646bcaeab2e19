"""Observe a server through its metrics, and wait until it has let go of everything."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable

from benchmark.reliability.server import ServerProcess
from benchmark.reliability.usage import Usage, usage

WAIT_S = 120.0  # A state that has not come after so many seconds does not come.
POLL_S = 0.05  # Another process is looked at again after so many seconds.
METRICS_S = 30.0  # Metrics that have not come after so many seconds do not come.


class Observed:
    """Reads what a server says of itself and what the kernel says of its process."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server

    def metric(self, name: str) -> float:
        """Return the value of a metric without labels."""
        with urllib.request.urlopen(f"{self.server.url}/metrics", timeout=METRICS_S) as answer:
            lines = answer.read().decode().splitlines()
        return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])

    def usage(self) -> Usage:
        return usage(self.server.pid, self.server.temporary)

    def is_idle(self) -> bool:
        """Whether no audio waits, no window is in the engine and no decoder runs."""
        names = ("asr_queue_audio_seconds", "asr_engine_windows")
        return not any(map(self.metric, names)) and not self.usage().children

    def until_idle(self, seconds: float = WAIT_S) -> float:
        """Return the seconds until the server is idle; infinity when it does not become so."""
        return until(self.is_idle, seconds)


def until(claim: Callable[[], bool], seconds: float = WAIT_S) -> float:
    """Poll until `claim` holds; return the seconds, infinity when it does not in time."""
    began = time.monotonic()
    while not claim():
        if time.monotonic() - began > seconds:
            return float("inf")
        time.sleep(POLL_S)
    return time.monotonic() - began
