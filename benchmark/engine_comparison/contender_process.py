"""Start the contenders' processes, send them rounds, and end them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.engine_comparison.contender import CannotRun, Entry, Load, Settings
from benchmark.paths import ROOT

STOP_S = 30.0  # A process that has not ended after so many seconds is killed.


@dataclass(frozen=True)
class Round:
    """Holds the times, tokens and memory of one contender's round."""

    seconds: float
    cpu_seconds: float
    tokens: Sequence[int]  # of each window
    finished: Sequence[float]  # seconds after the start, each window
    peak_mib: float  # resident
    gpu_mib: float | None = None


@dataclass
class ContenderProcess:
    """Runs a contender in its own process."""

    entry: Entry
    settings: Settings
    versions: dict[str, str]
    process: subprocess.Popen[str]
    reasons: dict[str, str] = field(default_factory=dict)  # why a level has no figures

    @property
    def name(self) -> str:
        return f"{self.entry.name} {self.settings.dtype}"

    def transcribe(self, load: Load, windows: Path, limits: Sequence[int] | None) -> Round:
        """Run one round.

        Raises:
            CannotRun: the contender cannot do this, or failed.
        """
        assert self.process.stdin is not None
        request = {"load": load, "windows": str(windows), "limits": limits}
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except OSError as error:
            raise CannotRun("its process has ended") from error
        return Round(**_read(self.process))

    def stop(self) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
            self.process.wait(STOP_S)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()


def start(entry: Entry, settings: Settings, program: str, log: Path) -> ContenderProcess:
    """Load a contender, converting the weights first where it needs that.

    Raises:
        CannotRun: it does not load; `log` has its standard error.
    """
    order = {"module": entry.module, "settings": settings.plain(), "options": entry.options}
    with log.open("w") as errors:
        process = subprocess.Popen(
            [program, "-m", "benchmark.engine_comparison.worker", json.dumps(order)],
            cwd=ROOT,
            env=environment(settings.threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        answer = _read(process)
    except CannotRun:
        process.wait()
        raise
    return ContenderProcess(entry, settings, answer["versions"], process)


def environment(threads: int) -> Mapping[str, str]:
    """Return the variables of a contender's process: its threads, and no network."""
    count = str(threads)
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def _read(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise CannotRun("its process has ended")
    answer: dict[str, Any] = json.loads(line)
    for reason in ("failed", "skipped"):
        if reason in answer:
            raise CannotRun(answer[reason])
    return answer
