"""What the head of a request shows to be refused is refused before its body is sent."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import tone, wav
from tests.support.processes import Controlled, controlled, post, until

ANSWER_SECONDS = 20  # An early answer comes within so many seconds even on a busy machine.
LENGTH = 50 * 2**20  # Refused bodies would have so many bytes; not one is sent.
CALLERS = 40  # More callers than the queue takes ask at once.
KEY = {"Authorization": "Bearer secret"}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlled]:
    """A server whose queue is full, and stays so."""
    settings = {"ENGINE_CAPACITY": "1", "MAX_QUEUE_SECONDS": "20"}
    with (
        controlled(
            tmp_path_factory.mktemp("full"), **settings, API_KEY="secret", MAX_BODY_MB="64"
        ) as server,
        ThreadPoolExecutor(CALLERS) as callers,
    ):
        server.hold()
        waiting = [callers.submit(post, server, wav(tone(1.0)), KEY) for _ in range(CALLERS)]
        until(lambda: any(one.done() and one.result()[0] == 429 for one in waiting))
        yield server
        server.release()
        assert {one.result()[0] for one in waiting} == {200, 429}
        assert server.stop() == 0
        assert "Traceback" not in server.log.read_text()


def test_a_full_queue_refuses_by_the_head_alone(full: Controlled) -> None:
    head, answer = refused(full, **KEY)
    assert head.startswith("HTTP/1.1 429 ")
    assert "\r\nretry-after: " in head.lower()
    assert "MAX_QUEUE_SECONDS=20" in answer["error"]


REFUSALS = {
    "a full queue": ("POST", "/asr", KEY, LENGTH, 429),
    "a full queue, for OpenAI's clients": ("POST", "/v1/audio/transcriptions", KEY, LENGTH, 429),
    "no key": ("POST", "/asr", {}, LENGTH, 401),
    "a length over MAX_BODY_MB": ("POST", "/asr", KEY, 2 * LENGTH, 413),
    "an unknown URL": ("POST", "/nowhere", KEY, LENGTH, 404),
    "a wrong method": ("PUT", "/asr", KEY, LENGTH, 405),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_client_that_waits_for_100_continue_is_not_told_to_send_a_refused_body(
    full: Controlled, refusal: str
) -> None:
    method, path, headers, length, status = REFUSALS[refusal]
    expecting = {**headers, "Expect": "100-continue"}
    head, answer = refused(full, method, path, length, **expecting)
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert "\r\nconnection: close" in head.lower()
    assert answer["error"]


@pytest.mark.parametrize("path", ["/asr", "/v1/audio/transcriptions", "/hc", "/nowhere"])
def test_an_unknown_expectation_is_a_417_in_the_callers_shape(full: Controlled, path: str) -> None:
    head, answer = refused(full, path=path, Expect="a-miracle", **KEY)
    assert head.startswith("HTTP/1.1 417 ")
    error = answer["error"]
    assert "100-continue" in (error["message"] if path.startswith("/v1") else error)


def test_curl_does_not_send_a_body_that_is_refused(full: Controlled, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl here")
    (tmp_path / "body").write_bytes(bytes(20 * 2**20))
    command = ["curl", "-sS", "-T", str(tmp_path / "body"), "-X", "POST", "-o", "/dev/null"]
    command += ["-H", "Expect: 100-continue", "--expect100-timeout", str(ANSWER_SECONDS)]
    command += ["-H", "Authorization: Bearer secret", "-w", "%{http_code} %{size_upload}"]
    said = subprocess.check_output([*command, full.url + "/asr"], text=True)
    assert said.split() == ["429", "0"]


def test_a_client_that_is_let_in_is_told_to_continue_and_is_answered(tmp_path: Path) -> None:
    body = wav(tone(1.0))
    with controlled(tmp_path) as server, connected(server) as caller:
        caller.sendall(head_of("POST", "/asr", len(body), {"Expect": "100-Continue"}))
        assert caller.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        caller.sendall(body)
        assert read_answer(caller)[0].startswith("HTTP/1.1 200 ")


def test_bodies_that_memory_has_no_room_for_are_refused_and_room_comes_back(
    tmp_path: Path,
) -> None:
    with controlled(tmp_path, MAX_MEMORY_MB="48") as server, contextlib.ExitStack() as stack:
        refusal = ""
        for _ in range(200):
            caller = stack.enter_context(connected(server))
            caller.sendall(head_of("POST", "/asr", LENGTH, {"Expect": "100-continue"}))
            said = caller.recv(1000)
            if not said.startswith(b"HTTP/1.1 100 "):
                refusal = said.decode()
                break
        assert refusal.startswith("HTTP/1.1 429 ")
        assert "MAX_MEMORY_MB" in refusal
        assert "\r\nretry-after: " in refusal.lower()
        stack.close()
        until(lambda: post(server, wav(tone(1.0)))[0] == 200)


def refused(
    server: Controlled,
    method: str = "POST",
    path: str = "/asr",
    length: int = LENGTH,
    **headers: str,
) -> tuple[str, dict[str, object]]:
    """The answer to a head whose body never comes."""
    with connected(server) as caller:
        caller.sendall(head_of(method, path, length, headers))
        return read_answer(caller)


def connected(server: Controlled) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), ANSWER_SECONDS)


def head_of(method: str, path: str, length: int, headers: dict[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def read_answer(caller: socket.socket) -> tuple[str, dict[str, object]]:
    """The head and the JSON of an answer."""
    head, _, body = b"", b"", b""
    received = b""
    while not received.partition(b"\r\n\r\n")[1]:
        received += caller.recv(4096) or pytest.fail(f"no answer but {received!r}")
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    while len(body) < length:
        body += caller.recv(4096) or pytest.fail(f"the answer breaks off: {received!r}")
    return head.decode(), json.loads(body)
