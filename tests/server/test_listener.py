"""The port: reserved, then opened; what is no HTTP is answered in JSON and ends its connection."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PATIENCE_SECONDS
from tests.support.processes import Controlled, controlled, get, until


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_every_address_of_the_machine_is_answered(tmp_path: Path, host: str) -> None:
    if host == "::1" and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    with controlled(tmp_path, HOST="*") as server:
        connection = http.client.HTTPConnection(host, server.port, timeout=PATIENCE_SECONDS)
        connection.request("GET", "/hc")
        assert json.loads(connection.getresponse().read())["status"] == "ok"
        connection.close()


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("host.invalid", ""),  # what a resolver says differs
        ("192.0.2.1", "cannot assign requested address"),  # RFC 5737: nobody's
        ("a..b", "not a host name"),
    ],
)
def test_an_address_that_is_not_the_machines_is_reported_before_the_model_is_loaded(
    tmp_path: Path, host: str, reason: str
) -> None:
    with controlled(tmp_path, wait=False, HOST=host) as server:
        assert server.process.wait(PATIENCE_SECONDS) == 1
        [line] = server.log.read_text().splitlines()
        assert line.startswith(f"configuration: HOST={host!r} is not an address of this machine: ")
        assert reason in line
        assert not (tmp_path / "loading").exists()


def test_a_port_in_use_is_reported_before_the_model_is_loaded(tmp_path: Path) -> None:
    with controlled(tmp_path) as server:
        second = tmp_path / "second"
        second.mkdir()
        with controlled(second, wait=False, PORT=str(server.port)) as other:
            assert other.process.wait(PATIENCE_SECONDS) == 1
            [line] = other.log.read_text().splitlines()
            assert line.startswith(f"configuration: PORT='{server.port}': address already in use;")
            assert not (second / "loading").exists()
        assert get(server, "/hc")[0] == 200


def test_a_port_that_was_taken_while_the_model_loaded_is_reported_as_plainly(
    tmp_path: Path,
) -> None:
    second = tmp_path / "second"
    second.mkdir()
    for directory in (tmp_path, second):
        (directory / "hold-load").touch()
    with controlled(tmp_path, wait=False) as server:
        port = str(server.port)
        with controlled(second, wait=False, PORT=port) as slow:
            until((second / "loading").exists)
            (tmp_path / "hold-load").unlink()
            until(server.answers)
            (second / "hold-load").unlink()
            assert slow.process.wait(PATIENCE_SECONDS) == 1
            last = slow.log.read_text().splitlines()[-1]
            assert last.startswith(f"configuration: PORT='{port}': address already in use;")
            assert "Traceback" not in slow.log.read_text()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlled]:
    with controlled(tmp_path_factory.mktemp("connection")) as running:
        yield running
        assert running.stop() == 0
        log = running.log.read_text()
        assert "Traceback" not in log
        assert " ERROR " not in log


def answer_to(server: Controlled, data: bytes) -> tuple[bytes, bytes]:
    """The head and the body of all that comes back for `data`."""
    with socket.create_connection(("127.0.0.1", server.port), 20) as caller:
        caller.sendall(data)
        answer = b""
        while more := caller.recv(65536):  # the server hangs up
            answer += more
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize(
    "data",
    [
        b"hello, is this a speech server?\r\n\r\n",
        b"GET /hc HTTP/1.1 and more\r\nHost: x\r\n\r\n",
        b"GET /hc HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /hc HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /hc HTTP/1.1\r\nHost: x\r\nno colon here\r\n\r\n",
        b"POST /asr HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS says hello
    ],
    ids=["chat", "long line", "version", "long header", "no colon", "length", "tls"],
)
def test_what_is_no_http_is_a_400_in_json(server: Controlled, data: bytes) -> None:
    head, body = answer_to(server, data)
    assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert b"content-type: application/json" in head.lower()
    assert b"x-request-id: " in head.lower()
    answer = json.loads(body)
    assert answer.keys() == {"error"}
    assert answer["error"].startswith("this is not an HTTP request: ")
    assert len(answer["error"]) < 400
    assert get(server, "/hc")[0] == 200


def test_a_chunk_that_is_none_is_a_400_in_json(server: Controlled) -> None:
    head = b"POST /asr HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    for chunks in (b"ZZ\r\nabc\r\n", b"3\r\nabcdef\r\n"):
        answer, body = answer_to(server, head + chunks)
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
        assert json.loads(body.partition(b"HTTP/1.")[0]).keys() == {"error"}
    assert get(server, "/hc")[0] == 200
