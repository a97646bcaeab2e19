"""A connection: what reaches no handler is answered in JSON, and half-closed callers are."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from asr.server.app import DIALECTS
from asr.server.connection import Connection
from asr.server.connection_pool import ConnectionPool
from tests.conftest import PATIENCE_SECONDS, eventually, tone, wav
from tests.support.processes import Controlled, controlled, get, until


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
        b"GET /hc HTTP/1.1\r\nHost: x\r\nno colon here\r\n\r\n",
        b"POST /asr HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS says hello
    ],
    ids=["chat", "long line", "version", "no colon", "length", "tls"],
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
    assert not re.search(r"\bb['\"]|\\", answer["error"]), "bytes as Python writes them"
    assert get(server, "/hc")[0] == 200


@pytest.mark.parametrize("head", ["GET /v1/listen?tag={} HTTP/1.1", "GET / HTTP/1.1\r\nX-Long: {}"])
def test_a_line_that_is_too_long_is_named_with_the_remedy(server: Controlled, head: str) -> None:
    answered, body = answer_to(server, f"{head.format('x' * 20_000)}\r\nHost: x\r\n\r\n".encode())
    assert answered.startswith((b"HTTP/1.1 431 ", b"HTTP/1.0 431 "))
    said = json.loads(body)["error"]
    assert "has more than 8190 bytes" in said
    assert "in the body" in said


def test_a_chunk_that_is_none_is_a_400_in_json(server: Controlled) -> None:
    head = b"POST /asr HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    for chunks in (b"ZZ\r\nabc\r\n", b"3\r\nabcdef\r\n"):
        answer, body = answer_to(server, head + chunks)
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
        assert json.loads(body.partition(b"HTTP/1.")[0]).keys() == {"error"}
    assert get(server, "/hc")[0] == 200


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("/asr", None),
        ("/hc", None),
        ("/nowhere", None),
        ("/v1/audio/transcriptions", {"message", "type", "param", "code"}),
        ("/api/v1/models", {"message", "type", "param", "code"}),
    ],
)
def test_what_the_http_library_refuses_has_the_shape_of_its_route(
    server: Controlled, path: str, keys: set[str] | None
) -> None:
    head, body = answer_to(
        server,
        f"POST {path} HTTP/1.1\r\nHost: x\r\nExpect: the-impossible\r\nConnection: close\r\n"
        "Content-Length: 0\r\n\r\n".encode(),
    )
    assert head.startswith(b"HTTP/1.1 417 ")
    assert b"content-type: application/json" in head.lower()
    assert b"x-request-id: " in head.lower()
    error = json.loads(body)["error"]
    assert isinstance(error, str) if keys is None else error.keys() == keys


@pytest.mark.parametrize(
    "data",
    [
        b"GET /hc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /docs/static/swagger-ui.css HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /hc HTTP/1.1\r\nHost: x\r\nExpect: x\r\nConnection: close\r\n\r\n",
        b"no http\r\n\r\n",
    ],
    ids=["health", "no route", "file", "417", "no http"],
)
def test_no_answer_tells_a_version_of_python_or_a_library(server: Controlled, data: bytes) -> None:
    head, _ = answer_to(server, data)
    assert re.search(rb"(?im)^Server: asr-api\r?$", head)
    assert b"X-Content-Type-Options: nosniff" in head
    assert b"aiohttp" not in head
    assert b"Python" not in head


def half_closed(server: Controlled, data: bytes) -> socket.socket:
    """A caller that has sent `data` and closed its sending side."""
    caller = socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS)
    caller.sendall(data)
    caller.shutdown(socket.SHUT_WR)
    return caller


def all_of(caller: socket.socket) -> bytes:
    received = b""
    while more := caller.recv(65536):
        received += more
    return received


def posted(body: bytes, version: str = "1.1") -> bytes:
    head = f"POST /asr HTTP/{version}\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_caller_that_closes_its_sending_side_gets_its_answer(
    server: Controlled, version: str
) -> None:
    with half_closed(server, f"GET /hc HTTP/{version}\r\nHost: x\r\n\r\n".encode()) as caller:
        assert b" 200 OK\r\n" in all_of(caller)
    with half_closed(server, posted(wav(tone(1.0)), version)) as caller:
        assert b'" 1.00 s"' in all_of(caller)


def test_a_half_closed_caller_waits_for_long_work_and_gets_all_pipelined_answers(
    server: Controlled,
) -> None:
    server.hold()
    with half_closed(server, posted(wav(tone(1.0))) + posted(wav(tone(0.5)))) as caller:
        assert caller.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        until(lambda: server.metric("asr_queue_audio_seconds") == 1)
        server.release()
        received = all_of(caller)
        assert received.count(b"HTTP/1.1 200 OK") == 2
        assert received.index(b'" 1.00 s"') < received.index(b'" 0.50 s"')


def test_a_half_closed_caller_that_leaves_is_not_transcribed_any_more(server: Controlled) -> None:
    server.hold()
    with half_closed(server, posted(wav(tone(1.0)))) as caller:
        assert caller.recv(25).startswith(b"HTTP/1.1 100 ")
        until(lambda: server.metric("asr_queue_audio_seconds") == 1)
    until(lambda: server.metric("asr_queue_audio_seconds") == 0)
    server.release()


def test_an_old_half_closed_caller_is_given_up_after_two_seconds(server: Controlled) -> None:
    server.hold()
    with half_closed(server, posted(wav(tone(1.0)), "1.0")) as caller:
        assert all_of(caller) == b""
    until(lambda: server.metric("asr_queue_audio_seconds") == 0)
    server.release()


def test_half_a_body_and_no_more_ends_its_request(server: Controlled) -> None:
    data = posted(wav(tone(2.0)))
    with half_closed(server, data[: len(data) // 2]) as caller:
        assert all_of(caller) == b""
    until(lambda: server.metric("asr_queue_audio_seconds") == 0)


def test_a_caller_who_goes_on_to_send_what_is_no_http_reads_why_it_is_refused(
    server: Controlled,
) -> None:
    line = b"GET /" + b"a" * 2**20
    for _ in range(5):  # closed too early, the connection is reset before the answer is read
        with socket.create_connection(("127.0.0.1", server.port), 20) as caller:
            caller.sendall(line)
            answer = b""
            while more := caller.recv(65536):
                answer += more
        assert answer.startswith(b"HTTP/1.0 431 "), answer[:100]


async def test_a_connection_whose_request_is_not_read_yet_is_not_idle() -> None:
    """A busy server comes to it late, and must not close it for that."""
    loop = asyncio.get_running_loop()
    kept: list[tuple[Connection, asyncio.Transport]] = []

    class Pool(ConnectionPool):
        def enter(self, connection: Any, transport: asyncio.Transport) -> bool:
            transport.pause_reading()
            kept.append((connection, transport))
            return super().enter(connection, transport)

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response()

    pool = Pool(10, 0.0, loop.time)

    def connection_of() -> Connection:
        return Connection(web.Server(answer), pool, DIALECTS, loop=loop, send_timeout_s=9)

    listener = await loop.create_server(connection_of, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
    await eventually(lambda: kept)
    [(connection, transport)] = kept
    assert connection.is_idle
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await eventually(lambda: not connection.is_idle)
    pool.sweep()
    transport.resume_reading()
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    writer.close()
    listener.close()
