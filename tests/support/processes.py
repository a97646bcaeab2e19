"""Run server processes with a controlled engine, and observe them from outside."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.conftest import PATIENCE_SECONDS, ROOT, Server, free_port
from tests.support.loop_monitor import PATH, Longest


@dataclass
class Controlled(Server):
    control: Path = Path()
    port: int = 0

    def hold(self, after: int = 0) -> None:
        """Keep the engine in its step once it has transcribed `after` windows in all."""
        (self.control / "hold").write_text(str(after))

    def release(self) -> None:
        (self.control / "hold").unlink(missing_ok=True)

    def transcribed(self) -> list[str]:
        record = self.control / "transcribed"
        return record.read_text().splitlines() if record.exists() else []

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(self.url + "/metrics", timeout=PATIENCE_SECONDS) as answer:
            lines = answer.read().decode().splitlines()
        return float(next(line for line in lines if line.startswith(name + " ")).split()[1])

    def children(self) -> list[psutil.Process]:
        """Return its living child processes, which are decoders."""
        return living_children(self.process.pid)

    def descriptors(self) -> int:
        """Return how many files, pipes and sockets it has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def temporary_files(self) -> list[str]:
        """Return the open files that have no name any more."""
        links = []
        for link in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                links.append(str(link.readlink()))
        return [link for link in links if "(deleted)" in link]

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5):
            return True
        return False


def living_children(pid: int) -> list[psutil.Process]:
    """Return the living children of a process, without one that ends meanwhile."""
    living = []
    for child in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE:
                living.append(child)
    return living


def until(claim: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until `claim` holds.

    Another process makes it true, so that it can only be polled.
    """
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@contextlib.contextmanager
def controlled(
    directory: Path, wait: bool = True, entry: Sequence[str] = (), **settings: str
) -> Iterator[Controlled]:
    """Run a server process with the engine of `launch.py`, and kill it at last.

    `entry` begins the command, as `nice` would.
    """
    port = free_port()
    log = directory / "log"
    environment = {
        **os.environ,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "ENGINE_CONTROL": str(directory),
        "PYTHONPATH": str(ROOT),
        "JOBS_DIR": str(directory / "jobs"),
        "VAD": "off",  # tones are speech to this engine
        **settings,
    }
    with log.open("wb") as output:
        command = [*entry, sys.executable, "-m", "tests.support.launch"]
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    wyoming_port = int(settings.get("WYOMING_PORT", 0))
    url = f"http://127.0.0.1:{port}"
    server = Controlled(process, url, log, wyoming_port, directory, port)
    try:
        if wait:
            until(lambda: server.answers() or process.poll() is not None)
            if process.poll() is not None:
                pytest.fail(f"the server did not start:\n{log.read_text()}")
        yield server
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE_SECONDS)


def post(
    server: Controlled, body: bytes, headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, object]]:
    return ask(server, "POST", "/asr", body, headers)


def get(server: Controlled, path: str) -> tuple[int, dict[str, object]]:
    return ask(server, "GET", path)


def ask(
    server: Controlled,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, dict[str, object]]:
    """Send a request and return the answer's status and JSON object."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")
    finally:
        connection.close()


def longest_hold(server: Controlled, headers: Mapping[str, str] | None = None) -> Longest:
    """Return what held its event loop for longest since this was asked before."""
    status, found = ask(server, "GET", PATH, None, headers)
    assert status == 200, found
    return Longest(**found)  # type: ignore[arg-type]


def processor_seconds(server: Controlled) -> float:
    """Return for how long it has computed, with its children that have ended.

    A machine that is busy with other work makes this little longer, other than the clock's time.
    """
    return sum(psutil.Process(server.process.pid).cpu_times()[:4])


async def answer(
    session: aiohttp.ClientSession, server: Controlled, data: bytes
) -> tuple[int, object]:
    async with session.post(server.url + "/asr?language=en", data=data) as response:
        content = await response.json()
        return response.status, content.get("text", content.get("error"))
