"""Connections that nobody means well, at a real process with few descriptors."""

from __future__ import annotations

import contextlib
import http.client
import json
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PATIENCE_SECONDS, tone, wav
from tests.support.processes import Controlled, controlled, get, until

HC = b"GET /hc HTTP/1.1\r\nHost: x\r\n\r\n"
DESCRIPTORS = 640  # of which some hundred are for connections
IDLE = 700
FEW = 300  # The least number of connections is allowed then.
LEAST = 16


@contextlib.contextmanager
def with_descriptors(directory: Path, count: int, **settings: str) -> Iterator[Controlled]:
    """A server process that can never have more descriptors."""
    with controlled(directory, wait=False, **settings) as server:
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (count, count))
        until(server.answers)
        yield server


def connected(server: Controlled) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS)


def asked(caller: socket.socket, data: bytes = HC) -> http.client.HTTPResponse:
    """The answer to `data`, read whole; the connection stays open."""
    caller.sendall(data)
    answer = http.client.HTTPResponse(caller)
    answer.begin()
    answer.content = answer.read()  # type: ignore[attr-defined]
    return answer


def is_closed(caller: socket.socket) -> bool:
    """Whether the server has closed the connection by now."""
    caller.setblocking(False)
    try:
        return caller.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    finally:
        caller.settimeout(PATIENCE_SECONDS)


def test_idle_connections_are_closed_in_time_and_used_ones_are_not(tmp_path: Path) -> None:
    with controlled(tmp_path, KEEPALIVE_TIMEOUT_S="2") as server, contextlib.ExitStack() as stack:
        silent, idle, used = [stack.enter_context(connected(server)) for _ in range(3)]
        assert asked(idle).status == 200
        until(lambda: asked(used).status == 200 and is_closed(silent) and is_closed(idle), 60)
        assert asked(used).status == 200


@pytest.mark.parametrize("speaks", [True, False], ids=["after an answer", "without a word"])
def test_a_flood_of_idle_connections_keeps_nobody_out(tmp_path: Path, speaks: bool) -> None:
    with (
        with_descriptors(tmp_path, DESCRIPTORS) as server,
        contextlib.ExitStack() as stack,
    ):
        flood = []
        for _ in range(IDLE):
            flood.append(stack.enter_context(connected(server)))
            if speaks:
                with contextlib.suppress(ConnectionError):
                    assert asked(flood[-1]).status == 200
        for _ in range(10):
            assert get(server, "/hc")[0] == 200
        assert is_closed(flood[0])  # the oldest gave way
        assert not is_closed(flood[-1])
        assert sum(not is_closed(caller) for caller in flood) > 100
        assert server.stop() == 0
        log = server.log.read_text()
        assert len(log) < 20_000, log[:2000]
        assert "Traceback" not in log


def test_where_all_are_busy_a_new_caller_is_told_so_and_hc_answers(tmp_path: Path) -> None:
    body = wav(tone(1.0))
    request = f"Host: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    with with_descriptors(tmp_path, FEW) as server, contextlib.ExitStack() as stack:
        server.hold()
        busy = [stack.enter_context(connected(server)) for _ in range(LEAST)]
        for caller in busy:
            assert asked(caller).status == 200  # so that it is known before the next one comes
            caller.sendall(b"POST /asr HTTP/1.1\r\n" + request)
        for path, shape in (("/asr", str), ("/v1/audio/transcriptions", dict)):
            with connected(server) as late:
                answer = asked(late, f"POST {path} HTTP/1.1\r\n".encode() + request)
                error = json.loads(answer.content)["error"]  # type: ignore[attr-defined]
                assert (answer.status, type(error)) == (503, shape)
                assert "all connections of this server are in use" in str(error)
                assert 1 <= int(answer.headers["Retry-After"]) <= 5
                assert late.recv(1) == b""
        for path in ("/hc", "/health"):
            with connected(server) as probe:
                assert asked(probe, HC.replace(b"/hc", path.encode())).status == 200
        server.release()
        for caller in busy:
            answer = http.client.HTTPResponse(caller)
            answer.begin()
            assert answer.status == 200
        assert get(server, "/nowhere")[0] == 404


def test_a_slow_second_head_is_given_up_as_a_first_one_is(tmp_path: Path) -> None:
    with controlled(tmp_path, BODY_TIMEOUT_S="1") as server, contextlib.ExitStack() as stack:
        first, second, idle = [stack.enter_context(connected(server)) for _ in range(3)]
        assert asked(second).status == asked(idle).status == 200
        started = time.monotonic()
        for caller in (first, second):
            caller.sendall(b"GET /hc HTTP/1.1\r\nX-Slow: ")
        for caller in (first, second):
            assert caller.recv(1) == b""
        assert time.monotonic() - started < 30  # KEEPALIVE_TIMEOUT_S is 75
        assert not is_closed(idle)


def test_errors_of_accept_do_not_fill_the_log_and_pass(tmp_path: Path) -> None:
    with controlled(tmp_path) as server, contextlib.ExitStack() as stack:
        before = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        used = len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
        limit = (used, before[1])
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limit)
        callers = [stack.enter_context(connected(server)) for _ in range(5)]
        until(lambda: "out of system resource" in server.log.read_text())
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, before)
        for caller in callers:
            assert asked(caller).status == 200
        assert server.log.read_text().count("out of system resource") <= 2
