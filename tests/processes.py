"""Server processes with a controlled engine, and what is seen of them from outside."""

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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.conftest import ROOT, Server

WAIT_SECONDS = 60


@dataclass
class Controlled(Server):
    control: Path
    port: int

    def hold(self) -> None:
        (self.control / "hold").touch()

    def release(self) -> None:
        (self.control / "hold").unlink(missing_ok=True)

    def heard(self) -> list[str]:
        record = self.control / "heard"
        return record.read_text().splitlines() if record.exists() else []

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(self.url + "/metrics", timeout=20) as answer:
            lines = answer.read().decode().splitlines()
        return float(next(line for line in lines if line.startswith(name + " ")).split()[1])

    def children(self) -> list[psutil.Process]:
        """Its living child processes: decoders."""
        with contextlib.suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.process.pid).children(recursive=True)
            return [child for child in found if child.status() != psutil.STATUS_ZOMBIE]
        return []

    def temporary_files(self) -> list[str]:
        """Files that it holds open and that have no name any more, or lie in its TMPDIR."""
        links = []
        for link in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                links.append(str(link.readlink()))
        return [link for link in links if "(deleted)" in link]

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5):
            return True
        return False


def until(claim: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    """Wait until `claim` holds of another process: it can only be asked again and again."""
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@contextlib.contextmanager
def controlled(directory: Path, wait: bool = True, **settings: str) -> Iterator[Controlled]:
    """A server process with the engine of `tests/launch.py`, killed in the end if need be."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = directory / "log"
    environment = {
        **os.environ,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "ENGINE_CONTROL": str(directory),
        "PYTHONPATH": str(ROOT),
        "VAD": "off",  # tones are speech to this engine
        **settings,
    }
    with log.open("wb") as output:
        command = [sys.executable, "-m", "tests.launch"]
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    server = Controlled(process, f"http://127.0.0.1:{port}", log, directory, port)
    try:
        if wait:
            until(lambda: server.answers() or process.poll() is not None)
            if process.poll() is not None:
                pytest.fail(f"the server did not start:\n{log.read_text()}")
        yield server
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(WAIT_SECONDS)


def post(server: Controlled, body: bytes) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request("POST", "/asr", body=body)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def get(server: Controlled, path: str) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")
    finally:
        connection.close()


async def answer(
    session: aiohttp.ClientSession, server: Controlled, data: bytes
) -> tuple[int, object]:
    async with session.post(server.url + "/asr?language=en", data=data) as response:
        content = await response.json()
        return response.status, content.get("text", content.get("error"))
