"""Start a server without a network, and time its first request beside later ones."""

from __future__ import annotations

import contextlib
import http.client
import json
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmark.paths import SAMPLES
from benchmark.reliability.server import ServerProcess

STEADY = 5  # So many later requests are timed.
FIRST_POLL_S = 0.02  # While the server starts, it is asked again after so many seconds.


@dataclass(frozen=True)
class Start:
    """Holds a start's times in seconds, and what was answered before it was ready."""

    ready_s: float
    early: dict[str, int]  # what callers met before the first 200
    first_s: float  # of the first transcription
    steady_s: float  # median of the later ones


def measure(folder: Path) -> Start:
    """Start the server, ask until it is ready, and time transcriptions."""
    server = ServerProcess(folder)
    began = time.monotonic()
    server.launch()
    try:
        early: dict[str, int] = {}
        while (answer := _health(server.port)) != "200":
            early[answer] = early.get(answer, 0) + 1
            assert server.process is not None
            assert server.process.poll() is None, server.log_tail()
            time.sleep(FIRST_POLL_S)
        ready_s = time.monotonic() - began
        seconds = [_transcription_s(server.port) for _ in range(1 + STEADY)]
    finally:
        server.end()
    return Start(ready_s, early, seconds[0], statistics.median(seconds[1:]))


def _health(port: int) -> str:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as caller:
        try:
            caller.request("GET", "/hc")
            return str(caller.getresponse().status)
        except ConnectionRefusedError:
            return "connection refused"
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__


def _transcription_s(port: int) -> float:
    data = (SAMPLES / "en-short.flac").read_bytes()
    began = time.monotonic()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as caller:
        caller.request("POST", "/asr", data)
        assert json.loads(caller.getresponse().read())["text"]
    return time.monotonic() - began


if __name__ == "__main__":  # in a network namespace: `namespace.inside`
    with tempfile.TemporaryDirectory() as temporary:
        json.dump(asdict(measure(Path(temporary))), sys.stdout)
