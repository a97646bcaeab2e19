"""Run a server process that tests may stop, kill and start again on the same port."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from benchmark.local_server import KEYS, free_port, wait_until_ready
from benchmark.paths import ROOT

SERVER = (sys.executable, str(ROOT / "server.py"))  # This command starts the server.
START_S = 180.0  # A server that is not ready after so many seconds has failed.
END_S = 120.0  # A server that has not ended so many seconds after a signal is killed.
LOG_TAIL = 2000  # A failure quotes so many characters of the log's end.


@dataclass
class ServerProcess:
    """Starts the server, and keeps its port, log and temporary files in one place.

    Args:
        folder: for the log and for the server's TMPDIR.
        settings: environment variables, besides those of this process.
    """

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = SERVER
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None, "the server was not started"
        return self.process.pid

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def __enter__(self) -> ServerProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.end(signal.SIGKILL if kind else signal.SIGTERM)

    def start(self) -> float:
        """Start the server and return the seconds until it was ready.

        Raises:
            NotReady: it has ended, or is not ready in time.
        """
        began = time.monotonic()
        self.launch()
        assert self.process is not None
        wait_until_ready(self.process, self.port, START_S)
        return time.monotonic() - began

    def launch(self) -> None:
        """Start the server without waiting for it."""
        self.temporary.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=self._environment(), stdout=log, stderr=log
            )

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; return the exit code, and the seconds until the process had ended."""
        assert self.process is not None
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return self.process.returncode, time.monotonic() - began

    def log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-LOG_TAIL:]

    def _environment(self) -> dict[str, str]:
        given = {name: value for name, value in os.environ.items() if name not in KEYS}
        defaults = {"MODEL_ID": "demo", "CACHE_DIR": str(ROOT / ".cache")}
        here = {"HOST": "127.0.0.1", "PORT": str(self.port), "TMPDIR": str(self.temporary)}
        paths = os.pathsep.join(filter(None, [str(ROOT), given.get("PYTHONPATH")]))
        return {**defaults, **given, "PYTHONPATH": paths, **self.settings, **here}
