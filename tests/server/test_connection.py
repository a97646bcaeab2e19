"""What is no HTTP is answered in JSON, by a real process, and ends its connection alone."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from tests.support.processes import Controlled, controlled, get


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
    assert answer["error"].startswith("this is no HTTP request: ")
    assert len(answer["error"]) < 400
    assert get(server, "/hc")[0] == 200


def test_a_chunk_that_is_none_is_a_400_in_json(server: Controlled) -> None:
    head = b"POST /asr HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    for chunks in (b"ZZ\r\nabc\r\n", b"3\r\nabcdef\r\n"):
        answer, body = answer_to(server, head + chunks)
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
        assert json.loads(body.partition(b"HTTP/1.")[0]).keys() == {"error"}
    assert get(server, "/hc")[0] == 200
