"""Run the server with an engine that a test controls through files.

Tests start it as a process. `ENGINE_CONTROL` names a directory. While it holds a file `hold`, the
engine waits in its step, once it has transcribed as many windows as the file says; where it holds
`die`, the step raises; every window transcribed is a line of `transcribed` there. A step takes
`ENGINE_STEP_SECONDS` (0); the engine holds `ENGINE_MIB` (0) of memory, as a model would. PyTorch is
left out: it is half of a start.
"""

from __future__ import annotations

import dataclasses
import gc
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from asr.config.config import Config
from asr.engines.engine import Window, WindowResult
from asr.errors import ConfigError
from asr.server import logs
from asr.server.app import create_app
from asr.server.run import run
from asr.startup import StartupTimer
from tests.support.fake_engine import FakeEngine, transcribed
from tests.support.loop_monitor import add_monitor

POLL_SECONDS = 0.01  # A held engine reads the file again after so many seconds.


@dataclasses.dataclass
class Controlled(FakeEngine):
    control: Path = Path()
    count: int = 0  # of windows transcribed
    weights: bytes = b""

    def step(self, admitted: Sequence[Window]) -> list[WindowResult]:
        while self.count >= self._most():
            time.sleep(POLL_SECONDS)
        time.sleep(float(os.environ.get("ENGINE_STEP_SECONDS", "0")))
        if (self.control / "die").exists():
            raise RuntimeError("CUDA error: device-side assert triggered")
        with (self.control / "transcribed").open("a") as record:
            for window in admitted:
                record.write(f"{window.start:.2f} {window.seconds:.2f}\n")
        if (report := self.control / "set-aside").exists():  # it takes 24 ms in which all stands
            report.write_text(str(gc.get_freeze_count()))
        self.count += len(admitted)
        return [transcribed(window) for window in admitted]

    def _most(self) -> float:
        """Return how many windows may be transcribed for now."""
        try:
            return int((self.control / "hold").read_text() or 0)
        except FileNotFoundError:
            return math.inf


def load_engine(_: Config) -> Controlled:
    control = Path(os.environ["ENGINE_CONTROL"])
    (control / "loading").touch()
    while (control / "hold-load").exists():
        np.ones((300, 300)) @ np.ones((300, 300))  # as a model computes while it warms up
    weights = b"w" * (int(os.environ.get("ENGINE_MIB", "0")) * 2**20)
    capacity = int(os.environ.get("ENGINE_CAPACITY", "4"))
    return Controlled(capacity, control=control, weights=weights)


def main() -> None:
    try:
        config = Config.from_environment(os.environ)
        logs.configure(config.log_level)
        app = create_app(config, load_engine)
        add_monitor(app)
        run(app, config, StartupTimer.of_process())
    except ConfigError as error:
        sys.exit(f"configuration: {error}")


if __name__ == "__main__":
    main()
