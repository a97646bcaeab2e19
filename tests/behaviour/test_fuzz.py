"""HTTP that nobody means well: every method, generated requests, broken and slow connections."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import socket
from collections.abc import Iterator

import psutil
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.transport.serialization import Binary

from asr.server import docs
from asr.server.app import DIALECTS
from tests.conftest import PATIENCE_SECONDS, tone, wav
from tests.support.processes import Controlled, controlled, until

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"]
PATHS = [
    "/", "/hc", "/health", "/metrics", "/asr", "/docs", "/docs/", "/openapi.json", "/nothing",
    "/asr/", "//asr", "/ASR", "/asr%00", "/%2e%2e/etc/passwd", "/docs/../asr", "/docs/static/",
    "/docs/static/../../../etc/passwd", "/docs/static/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "/v1/models", "/v1/models/x", "/v1/audio/transcriptions", "/v1/audio/translations",
    "/api/v1/audio/transcriptions", "/v1/audio/language", "/detect-language", "/" + "a" * 5000,
    "/upload", "/production/predict", "/async_predict", "/tasks", "/status/x", "/status/%00",
    "/cancel/x", "/cancel/%ff%2f", "/asr?" + "a=b&" * 1000, "/asr?url=%ff",
    "/v1/listen", "/v1/listen?extra=%ff%00&callback=http://[",
]  # fmt: skip
SLOW_SOCKETS = 120
CLIP = wav(tone(0.1))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlled]:
    directory = tmp_path_factory.mktemp("fuzz")
    settings = {"BODY_TIMEOUT_S": "3", "KEEPALIVE_TIMEOUT_S": "3600", "MAX_BODY_MB": "8"}
    with controlled(directory, **settings) as server:
        yield server
        assert server.stop() == 0
        assert "Traceback" not in server.log.read_text()


def ask(server: Controlled, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        connection.putheader("Content-Length", str(len(body or b"")))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def raw(server: Controlled, data: bytes, hangs_up: bool = True) -> bytes:
    """Whatever comes back for `data`; the caller sends no more."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS) as caller:
        with contextlib.suppress(ConnectionError):
            caller.sendall(data)
            if hangs_up:
                caller.shutdown(socket.SHUT_WR)
        received = b""
        with contextlib.suppress(ConnectionError):
            while part := caller.recv(65_536):
                received += part
        return received


def assert_well(server: Controlled) -> None:
    assert ask(server, "GET", "/hc")[0] == 200
    status, content = ask(server, "POST", "/asr", wav(tone(1.0)))
    assert (status, json.loads(content)["text"]) == (200, " 1.00 s")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_on_every_path_has_an_answer(target: Controlled, method: str) -> None:
    for path, body in itertools.product(PATHS, (None, b"{}", b"\0\xff" * 100)):
        status, content = ask(target, method, path, body)
        assert 200 <= status < 500, (method, path, status, content)
        assert b"root:" not in content
        if status >= 400 and method != "HEAD":
            answer = json.loads(content)
            assert answer.get("error") or answer.get("err_msg") or answer["detail"], (method, path)
    assert_well(target)


# Names of examples would be asked of a name server: this address is refused at once.
document = json.dumps(docs.document(DIALECTS)).replace("//example.com/", "//192.0.2.1/")
schema = schemathesis.openapi.from_dict(json.loads(document))


@schema.parametrize()
@settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_requests_made_from_the_document_are_never_our_failure(
    case: schemathesis.Case, target: Controlled
) -> None:
    response = with_audio(case).call(base_url=target.url)
    case.validate_response(response, checks=[not_a_server_error])


def with_audio(case: schemathesis.Case) -> schemathesis.Case:
    """Let the files of a form be audio, where the document's examples are pictures."""
    if isinstance(case.body, dict):
        files = {name for name, value in case.body.items() if isinstance(value, Binary)}
        case.body = {**case.body, **dict.fromkeys(files, Binary(CLIP))}
    return case


HEAD = b"POST /asr HTTP/1.1\r\nHost: x\r\n"
BROKEN = {
    "nothing": b"",
    "odd method": b"BREW /hc HTTP/1.1\r\nHost: x\r\n\r\n",
    "no http": b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(500),
    "no version": b"GET /hc\r\n\r\n",
    "odd version": b"GET /hc HTTP/9.9\r\n\r\n",
    "old version": b"GET /hc HTTP/1.0\r\n\r\n",
    "no host": b"GET /hc HTTP/1.1\r\n\r\n",
    "spaces": b"GET  /hc  HTTP/1.1\r\n\r\n",
    "long line": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    "long header": HEAD + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
    "many headers": HEAD + b"X: y\r\n" * 20_000 + b"\r\n",
    "null in header": HEAD + b"X: a\0b\r\n\r\n",
    "bytes in header": HEAD + b"X-Request-ID: \xff\xfe\r\nContent-Length: 0\r\n\r\n",
    "bytes in key": HEAD + b"Authorization: Bearer \xff\r\nContent-Length: 0\r\n\r\n",
    "bytes in type": HEAD + b"Content-Type: \xff/\xfe\r\nContent-Length: 0\r\n\r\n",
    "odd type": HEAD + b"Content-Type: ;;;===\r\nContent-Length: 0\r\n\r\n",
    "odd form": HEAD + b"Content-Type: multipart/form-data; boundary*=utf-8''%ff\r\n"
    b"Content-Length: 2\r\n\r\n--",
    "folded header": HEAD + b"X: a\r\n b\r\n\r\n",
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "odd length": HEAD + b"Content-Length: 1e3\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "huge length": HEAD + b"Content-Length: 99999999999999999999\r\n\r\nab",
    "length and chunks": HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "odd chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
    "negative chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nab\r\n0\r\n\r\n",
    "cut chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\nab",
    "odd encoding": HEAD + b"Transfer-Encoding: rot13\r\n\r\nab",
    "no brotli": HEAD + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\nab",
    "cut body": HEAD + b"Content-Length: 100\r\n\r\nab",
    "expectation": HEAD + b"Expect: the-impossible\r\nContent-Length: 2\r\n\r\nab",
    "upgrade": HEAD + b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
    "pipelined": b"GET /hc HTTP/1.1\r\nHost: x\r\n\r\n" * 500,
    "other host": b"GET http://169.254.169.254/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "tunnel": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_http_is_refused_and_does_no_harm(target: Controlled, name: str) -> None:
    received = raw(target, BROKEN[name])
    assert not received or received.startswith(b"HTTP/"), received[:100]
    assert b"HTTP/1.1 50" not in received
    assert_well(target)


def test_a_body_of_one_byte_chunks_is_read_in_bounded_memory(target: Controlled) -> None:
    body = wav(tone(2.04))[:65_537]
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    request = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    process = psutil.Process(target.process.pid)
    assert b" 200 " in raw(target, request, hangs_up=False)[:20]
    before = process.memory_info().rss
    for _ in range(20):
        assert b" 200 " in raw(target, request, hangs_up=False)[:20]
    assert process.memory_info().rss - before < 32 * 2**20
    assert_well(target)


STARTS = {
    "nothing": b"",
    "half a head": b"POST /asr HTT",
    "half a body": HEAD + b"Content-Length: 100000\r\n\r\n" + wav(tone(1.0))[:1000],
    "half a form": HEAD + b"Content-Type: multipart/form-data; boundary=edge\r\n"
    b"Content-Length: 100000\r\n\r\n--edge\r\nContent-Disp",
    "half an object": HEAD + b'Content-Length: 100000\r\n\r\n{"url": "',
}


def test_slow_connections_are_closed_in_time(target: Controlled) -> None:
    with contextlib.ExitStack() as stack:
        slow = [
            stack.enter_context(
                socket.create_connection(("127.0.0.1", target.port), PATIENCE_SECONDS)
            )
            for _ in range(SLOW_SOCKETS)
        ]
        for caller, start in zip(slow, itertools.cycle(STARTS.values()), strict=False):
            caller.sendall(start)
        assert ask(target, "GET", "/hc")[0] == 200
        for caller in slow:
            with contextlib.suppress(ConnectionError):
                while caller.recv(4096):
                    pass
    until(lambda: target.metric("asr_queue_audio_seconds") == 0)
    assert_well(target)
