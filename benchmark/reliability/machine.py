"""Describe the machine, the commit and the command that figures depend on."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil

from benchmark.paths import ROOT

GIB = 2**30


def described(command: Sequence[str]) -> str:
    """Return one line: the command, commit, date, processor, memory and versions."""
    memory = f"{psutil.virtual_memory().total / GIB:.0f} GiB"
    system = f"{platform.system()} {platform.release().split('-')[0]}"
    model = os.environ.get("MODEL_ID", "demo")
    return (
        f"`{' '.join(command)}`, commit {_commit()}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, "
        f"{_processor()}, {memory}, {system}, Python {platform.python_version()}, "
        f"MODEL_ID={model}, load {os.getloadavg()[0]:.1f} before the start"
    )


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or a copy without its history
        return "unknown"
    return done.stdout.strip()


def _processor() -> str:
    cores = f"{len(os.sched_getaffinity(0))} cores"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.partition(':')[2].strip()}, {cores}"
    return f"{platform.processor()}, {cores}"
