"""Counts the cores that this process may use, and configures OpenMP for them."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import MutableMapping
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")  # The container's limits are files here.
SPINS = 1000  # A waiting OpenMP thread sleeps after so many turns of a loop: some microseconds.


def usable() -> int:
    """Count the usable cores: the process's affinity or the container's quota; at least 1."""
    return max(1, math.ceil(min(_affine(), _quota())))


def configure_openmp(environment: MutableMapping[str, str]) -> None:
    """Set OpenMP's variables in `environment`, unless they are set; torch's import reads them.

    By default OpenMP starts a thread for every core of the machine, even where a quota allows
    fewer, and its threads wait in busy loops, which takes the cores from each other.
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
    """Read the quota of cores from cgroup v2 or v1; infinite where there is none."""
    with contextlib.suppress(ValueError):  # no such file, or "max": no quota
        quota, period = cgroup("cpu.max")
        return int(quota) / int(period)
    with contextlib.suppress(ValueError):
        [quota], [period] = cgroup("cpu/cpu.cfs_quota_us"), cgroup("cpu/cpu.cfs_period_us")
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    return math.inf


def cgroup(name: str) -> list[str]:
    """Return the words of a file of the container's cgroup; none where there is no such file."""
    try:
        return (CGROUP / name).read_text().split()
    except OSError:
        return []
