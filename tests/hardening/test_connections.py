"""Connections that nobody means well, at a real process with few descriptors."""

from __future__ import annotations

import contextlib
import http.client
import json
import resource
import socket
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


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlled]:
    """A server that allows the least number of connections."""
    directory = tmp_path_factory.mktemp("few")
    with with_descriptors(directory, FEW, BODY_TIMEOUT_S="3", KEEPALIVE_TIMEOUT_S="3600") as server:
        yield server


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlled]:
    """A server that allows some hundred connections."""
    with with_descriptors(tmp_path_factory.mktemp("some"), DESCRIPTORS) as server:
        yield server
        log = server.log.read_text()
        assert len(log) < 20_000, log[:2000]
        assert "Traceback" not in log


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


def test_errors_of_accept_do_not_fill_the_log_and_pass(few: Controlled) -> None:
    with contextlib.ExitStack() as stack:
        pid = few.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = few.descriptors()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, before[1]))
        callers = [stack.enter_context(connected(few)) for _ in range(5)]
        until(lambda: "out of system resource" in few.log.read_text())
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        for caller in callers:
            assert asked(caller).status == 200
        assert few.log.read_text().count("out of system resource") <= 2


@pytest.mark.parametrize("speaks", [True, False], ids=["after an answer", "without a word"])
def test_a_flood_of_idle_connections_keeps_nobody_out(some: Controlled, speaks: bool) -> None:
    with contextlib.ExitStack() as stack:
        flood = []
        for _ in range(IDLE):
            flood.append(stack.enter_context(connected(some)))
            if speaks:
                with contextlib.suppress(ConnectionError):
                    assert asked(flood[-1]).status == 200
        for _ in range(10):
            assert get(some, "/hc")[0] == 200
        assert is_closed(flood[0])  # the oldest gave way
        assert not is_closed(flood[-1])
        assert sum(not is_closed(caller) for caller in flood) > 100


def test_where_all_are_busy_a_new_caller_is_told_so_and_hc_answers(few: Controlled) -> None:
    body = wav(tone(1.0))
    request = f"Host: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    with contextlib.ExitStack() as stack:
        few.hold()
        busy = [stack.enter_context(connected(few)) for _ in range(LEAST)]
        for caller in busy:
            assert asked(caller).status == 200  # so that it is known before the next one comes
            caller.sendall(b"POST /asr HTTP/1.1\r\n" + request)
        for path, shape in (("/asr", str), ("/v1/audio/transcriptions", dict)):
            with connected(few) as late:
                answer = asked(late, f"POST {path} HTTP/1.1\r\n".encode() + request)
                error = json.loads(answer.content)["error"]  # type: ignore[attr-defined]
                assert (answer.status, type(error)) == (503, shape)
                assert "all connections of this server are in use" in str(error)
                assert 1 <= int(answer.headers["Retry-After"]) <= 5
                assert late.recv(1) == b""
        for path in ("/hc", "/health"):
            with connected(few) as probe:
                assert asked(probe, HC.replace(b"/hc", path.encode())).status == 200
        few.release()
        for caller in busy:
            answer = http.client.HTTPResponse(caller)
            answer.begin()
            assert answer.status == 200
        assert get(few, "/nowhere")[0] == 404


def test_a_slow_second_head_is_given_up_as_a_first_one_is(few: Controlled) -> None:
    with contextlib.ExitStack() as stack:
        second, idle = [stack.enter_context(connected(few)) for _ in range(2)]
        assert asked(second).status == asked(idle).status == 200
        first = stack.enter_context(connected(few))
        for caller in (first, second):
            caller.sendall(b"GET /hc HTTP/1.1\r\nX-Slow: ")
        for caller in (first, second):
            assert caller.recv(1) == b""  # after BODY_TIMEOUT_S, not KEEPALIVE_TIMEOUT_S
        assert not is_closed(idle)
