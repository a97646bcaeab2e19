"""The programs that run beside the server in a container, as real processes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue

import pytest

from tests.conftest import PATIENCE_SECONDS, ROOT, free_port

IMAGES = ROOT / "images"


class Stub(BaseHTTPRequestHandler):
    """Answers with the status that its server holds, and keeps what was posted."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.put((self.path, self.headers["Metadata"], json.loads(body)))
        self._answer()

    def _answer(self) -> None:
        body = b'{"status":"CUDA error: unspecified launch failure"}'
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class StubServer(ThreadingHTTPServer):
    status = 200

    def __init__(self) -> None:
        self.posted: Queue[tuple[str, str, object]] = Queue()
        super().__init__(("127.0.0.1", 0), Stub)
        threading.Thread(target=self.serve_forever, daemon=True).start()


@pytest.fixture
def stub() -> Iterator[StubServer]:
    server = StubServer()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def start() -> Iterator[object]:
    started: list[subprocess.Popen[str]] = []

    def run(script: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            env=os.environ | environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_the_health_check_is_the_servers_health(stub, start):
    port = str(stub.server_port)
    check = IMAGES / "healthcheck.py"
    assert start(check, HOST="127.0.0.1", PORT=port).wait(PATIENCE_SECONDS) == 0
    stub.status = 503
    assert start(check, HOST="127.0.0.1", PORT=port).wait(PATIENCE_SECONDS) == 1
    assert start(check, HOST="127.0.0.1", PORT=str(free_port())).wait(PATIENCE_SECONDS) == 1


def test_an_ended_engine_asks_for_another_machine(stub, start):
    metadata = StubServer()
    environment = {
        "PORT": str(stub.server_port),
        "SALAD_METADATA_URL": f"http://127.0.0.1:{metadata.server_port}",
        "REALLOCATE_POLL_S": "0.05",
    }
    start(IMAGES / "reallocate.py", **environment)
    stub.status = 503
    path, header, body = metadata.posted.get(timeout=PATIENCE_SECONDS)
    assert (path, header) == ("/v1/reallocate", "true")
    assert "CUDA error" in body["reason"]
    metadata.shutdown()
    metadata.server_close()


def test_ping_tells_loading_ready_and_failed_apart(start):
    port, health_port = free_port(), free_port()
    start(IMAGES / "ping.py", PORT=str(port), PORT_HEALTH=str(health_port))
    assert eventually(health_port) == 204
    with ThreadingHTTPServer(("127.0.0.1", port), Stub) as server:
        server.status = 200
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert status(health_port) == 200
        server.status = 503
        assert status(health_port) == 503
        server.shutdown()
    assert status(health_port) == 503
    assert status(health_port, "/elsewhere") == 404


def eventually(port: int) -> int:
    ends = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return status(port)
        except ConnectionRefusedError:
            assert time.monotonic() < ends
            time.sleep(0.05)


def status(port: int, path: str = "/ping") -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


SERVER = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("drained", flush=True), sys.exit(7)))
pathlib.Path("up").touch()
print("up", flush=True)
time.sleep(120)
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A directory as /app is, with another server."""
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "companion.py").write_text((IMAGES / "companion.py").read_text())
    return tmp_path / "companion.py"


def test_sigterm_lets_the_server_end_in_its_own_time(app, start):
    process = start(app, sys.executable, "-c", "import time; time.sleep(120)")
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert output == "drained\n"
    assert process.returncode == 7


ENDING = """
import pathlib, sys, time
while not pathlib.Path("up").exists():
    time.sleep(0.05)  # polling another process: there is nothing to wait on
sys.exit(3)
"""


def test_when_the_companion_ends_so_does_the_server(app, start):
    process = start(app, sys.executable, "-c", ENDING)
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert output.endswith("drained\n")
    assert process.returncode == 3
