"""One contender in a process of its own: loads once, then answers one round at a time.

Two OpenMP pools in one process fight; two processes that take turns do not. A line of JSON comes
in for each round and one goes out; whatever the libraries print goes to standard error.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from benchmark.engines.contender import CannotRun, Contender, RoundOutput, Settings, Task

KIB, MIB = 2**10, 2**20
PEAK_RESET = "5"  # written to clear_refs: the peak begins anew (proc(5))


def main() -> None:
    order = json.loads(sys.argv[1])
    answers = _aside()
    try:
        contender = load(order)
    except Exception as error:  # the boundary: the other side reads the reason and goes on
        traceback.print_exc()
        _say(answers, {"failed": _described(error)})
        raise SystemExit(1) from error
    _say(answers, {"versions": contender.versions})
    for line in sys.stdin:
        _say(answers, _answer(contender, json.loads(line)))


def load(order: dict[str, Any]) -> Contender:
    module = importlib.import_module(f"benchmark.engines.contenders.{order['module']}")
    contender: Contender = module.load(Settings.of(order["settings"]), **order["options"])
    return contender


def _answer(contender: Contender, asked: dict[str, Any]) -> dict[str, Any]:
    task = Task(asked["load"], np.load(asked["windows"]), asked["limits"])
    output = RoundOutput()
    reset_peak()
    before = cpu_seconds()
    started = time.monotonic()
    try:
        contender.transcribe(task, output, started)
    except CannotRun as error:
        return {"skipped": str(error)}
    except Exception as error:  # the boundary: one contender's failure is a line of the table
        traceback.print_exc()
        return {"failed": _described(error)}
    return {
        "seconds": time.monotonic() - started,
        "cpu_seconds": cpu_seconds() - before,
        "tokens": output.tokens,
        "finished": output.finished,
        "peak_mib": peak_bytes() / MIB,
        "gpu_mib": gpu_mib(),
    }


def cpu_seconds() -> float:
    """Of this process and the children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def reset_peak(process: int | str = "self") -> None:
    with contextlib.suppress(OSError):  # not Linux, or not allowed: the peak since the start
        Path(f"/proc/{process}/clear_refs").write_text(PEAK_RESET)


def peak_bytes(process: int | str = "self") -> float:
    """The most memory that was resident since the last reset."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1]) * KIB
    return 0.0


def gpu_mib() -> float | None:
    """What this process holds on the GPU; None without one."""
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


def _aside() -> TextIO:
    """Standard output as it was; from now on, what is printed goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def _say(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _described(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


if __name__ == "__main__":
    main()
