"""Run our server in its own process, with its engine or the mute one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from asr.resources import cpu
from benchmark.load.server_engines import DRAWN, MUTE, PACED
from benchmark.local_server import free_port, stop, wait_until_ready
from benchmark.paths import ROOT

WHISPER = "whisper"
START_S = 300.0  # A server that is not ready after so many seconds has failed.
# A server that uses less than this share of a core for so many seconds is settled.
QUIET_S, QUIET_SHARE = 1.0, 0.1


@dataclass(frozen=True)
class Setup:
    """Holds what a server is started with: engine, weights, device, dtype, tokens."""

    engine: str  # WHISPER, MUTE or PACED
    checkpoint: Path
    device: str
    dtype: str
    tokens: str | None = None  # in each window, a number or DRAWN; None: as the model ends them


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[bytes]
    url: str

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of the server and of its decoders, ended or running."""
        process = psutil.Process(self.process.pid)
        times = process.cpu_times()
        running = sum(used(child) for child in process.children())
        spent = times.user + times.system + times.children_user + times.children_system
        return float(spent + running)

    def settle(self, seconds: float) -> None:
        """Wait at most `seconds` until the server is idle and uses hardly any CPU."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            before = self.cpu_seconds()
            time.sleep(QUIET_S)
            if self.cpu_seconds() - before < QUIET_SHARE * QUIET_S:
                return


@contextlib.contextmanager
def running_server(setup: Setup, start_s: float = START_S) -> Iterator[Server]:
    """Start our server, yield it once it is ready, and stop it.

    Raises:
        NotReady: it has ended, or is not ready within `start_s`.
    """
    port = free_port()
    kind = DRAWN if setup.tokens == DRAWN else setup.engine
    command = [sys.executable, "-m", "benchmark.load.server_engines", kind]
    settings = environment(setup, port, os.environ)
    cpu.configure_openmp(settings)  # as `server.py` does
    process = subprocess.Popen(command, cwd=ROOT, env=settings)
    try:
        wait_until_ready(process, port, start_s)
        yield Server(process, f"http://127.0.0.1:{port}")
    finally:
        stop(process)


def used(child: psutil.Process) -> float:
    """Return the CPU seconds of `child`; 0 once it has ended.

    A decoder may have ended since it was listed.
    """
    try:
        return float(sum(child.cpu_times()[:2]))
    except psutil.NoSuchProcess:
        return 0.0


def environment(setup: Setup, port: int, given: Mapping[str, str]) -> dict[str, str]:
    """Return `given` with the settings that a measurement needs."""
    settings = {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "MODEL_ID": str(setup.checkpoint),
        "ENGINE": "auto" if setup.engine in {MUTE, PACED} else setup.engine,
        "DEVICE": setup.device,
        "DTYPE": setup.dtype,
        "LOG_LEVEL": "WARNING",
        "VAD": "energy",  # to Silero made-up sound is no speech; its cost is a stage of its own
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), given.get("PYTHONPATH")])),
    }
    if setup.tokens is not None and setup.tokens != DRAWN:
        settings["MAX_NEW_TOKENS"] = setup.tokens
    if setup.engine not in {MUTE, PACED}:  # whose text makes no sense
        settings["TEMPERATURE_FALLBACK"] = "0"
    return {**given, **settings}
