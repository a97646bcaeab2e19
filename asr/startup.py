"""Measures how long each stage of a start takes."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

STAT = Path("/proc/self/stat")
STARTED_AT = 19  # After the name, this field is the start in clock ticks since the boot: proc(5).


class StartupTimer:
    """Adds up seconds by stage; the time before it was made counts as imports."""

    def __init__(self, age: float = 0.0) -> None:
        self._began = time.monotonic() - age
        self._seconds = {"imports": age}

    @classmethod
    def of_process(cls) -> StartupTimer:
        """Return a timer that began with this process."""
        return cls(process_age())

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of the block for a stage; a stage may come several times."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.monotonic() - began

    def __str__(self) -> str:
        stages = [f"{name} {seconds:.2f} s" for name, seconds in self._seconds.items()]
        return ", ".join([*stages, f"ready after {time.monotonic() - self._began:.2f} s"])


def process_age() -> float:
    """Seconds since this process started; 0 where the system has no /proc."""
    if not STAT.exists():
        return 0.0
    fields = STAT.read_text().rpartition(")")[2].split()
    born = int(fields[STARTED_AT]) / os.sysconf("SC_CLK_TCK")
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - born)
