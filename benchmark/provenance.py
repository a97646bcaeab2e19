"""Where a figure comes from: the commit that was measured, and the processor that it ran on."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def commit() -> str:
    """The commit of this copy, `-dirty` where files differ from it; `unknown` without git."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or a copy without its history
        return "unknown"
    return done.stdout.strip()


def processor() -> str:
    """The processor's name, and how many cores this process may use."""
    cores = f"{len(os.sched_getaffinity(0))} cores"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.partition(':')[2].strip()}, {cores}"
    return f"{platform.processor()}, {cores}"
