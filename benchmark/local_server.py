"""Wait for a server process on this machine to be ready, and stop it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from http.client import HTTPConnection, HTTPException

POLL_S = 0.1  # The health check is sent again after so many seconds without an answer.
KEYS = ("API_KEY", "API_KEYS", "API_KEYS_FILE")  # With one of them a server wants a key.
STOP_S = 60.0  # A server that has not ended so many seconds after SIGTERM is killed.


class NotReady(Exception):
    """The server has ended, or did not answer its health check in time."""


def free_port() -> int:
    """Return a port of this machine that no process uses now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_until_ready(process: subprocess.Popen[bytes], port: int, start_s: float) -> None:
    """Wait until `/hc` is answered with 200.

    Raises:
        NotReady: the process has ended, or `start_s` seconds have passed.
    """
    deadline = time.monotonic() + start_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NotReady(f"the server ended with exit code {process.returncode}")
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        with contextlib.suppress(OSError, HTTPException), contextlib.closing(connection):
            connection.request("GET", "/hc")
            if connection.getresponse().status == 200:
                return
        time.sleep(POLL_S)
    raise NotReady(f"the server was not ready within {start_s:g} s")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, and kill it if it does not."""
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
