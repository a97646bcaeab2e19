"""The processor's cores that this process may use, and how threads on them wait for each other."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import MutableMapping
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")  # of the container
SPINS = 1000  # turns of OpenMP's waiting loop, some µs, before a thread goes to sleep


def usable() -> int:
    """Cores of the process's affinity, fewer where a container's quota allows fewer; at least 1."""
    return max(1, math.ceil(min(_affine(), _quota())))


def settle(environment: MutableMapping[str, str]) -> None:
    """Tell OpenMP, which reads the environment when torch is imported, what is not told already.

    It would take every core of the machine where a quota allows a few, and its threads would
    wait for each other by spinning: on cores that others want, that is waiting for oneself.
    """
    if usable() < _affine():
        environment.setdefault("OMP_NUM_THREADS", str(usable()))
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", str(SPINS))


def _affine() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota() -> float:
    """Cores by cgroup v2 or v1; infinite where there is no quota."""
    with contextlib.suppress(OSError, ValueError):  # no such file, or "max": no quota
        quota, period = (CGROUP / "cpu.max").read_text().split()
        return int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):
        quota = (CGROUP / "cpu" / "cpu.cfs_quota_us").read_text()
        period = (CGROUP / "cpu" / "cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    return math.inf
