"""Read the CPU time and memory of a process with only the standard library."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

KIB, MIB = 2**10, 2**20
PEAK_RESET = "5"  # This value, written to clear_refs, resets the peak: proc(5).


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its children that ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def reset_peak(process: int | str = "self") -> None:
    with contextlib.suppress(OSError):  # not Linux, or not allowed: the peak since the start
        Path(f"/proc/{process}/clear_refs").write_text(PEAK_RESET)


def peak_bytes(process: int | str = "self") -> float:
    """Return the most resident memory since the last reset, in bytes."""
    return _status_bytes(process, "VmHWM")


def resident_bytes(process: int | str = "self") -> float:
    """Return the resident memory, in bytes."""
    return _status_bytes(process, "VmRSS")


def _status_bytes(process: int | str, name: str) -> float:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return float(line.split()[1]) * KIB
    return 0.0


def gpu_mib() -> float | None:
    """Return the GPU memory that this process holds, in MiB; None without a GPU."""
    command = ["nvidia-smi", "--query-compute-apps=pid,used_memory"]
    try:
        listed = subprocess.run(
            [*command, "--format=csv,noheader,nounits"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    used = dict(line.split(", ") for line in listed.splitlines() if ", " in line)
    mib = used.get(str(os.getpid()))
    return float(mib) if mib is not None and mib.strip().isdigit() else None
