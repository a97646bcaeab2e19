"""No body, whatever is in it, holds the event loop: `/hc` answers while it is read.

`python -m tests.hardening.test_event_loop` prints the longest hold of each body, of tens of MiB.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiohttp import web

from tests.hardening.hostile_bodies import Hostile, hostile
from tests.support.loop_monitor import PATH, add_monitor
from tests.support.processes import Controlled, controlled, get, longest_hold, until

HOLD_SECONDS = 0.1  # The goal is a fifth of it, on a quiet machine.
TEST_BYTES = 3 * 2**20  # Endless bodies have so many here,
FULL_BYTES = 42 * 2**20  # and so many where the longest holds are printed.
BODIES = hostile(TEST_BYTES)
SEND_BYTES = 2**20
CALLERS = 4  # They send the same body at once.
KEPT_BYTES = 128 * 2**20  # The server may keep so many from all of them, as its allocator does.


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlled]:
    with controlled(tmp_path_factory.mktemp("loop"), BODY_TIMEOUT_S="60") as server:
        yield server
        assert server.stop() == 0
        assert "Traceback" not in server.log.read_text()


def answer_to(server: Controlled, sent: Hostile) -> int:
    """Send a request, and return the status of its answer; 0: the connection was cut."""
    received = bytearray()
    with socket.create_connection(("127.0.0.1", server.port), 60) as caller:

        def receive() -> None:
            with contextlib.suppress(OSError):
                while part := caller.recv(65_536):
                    received.extend(part)

        reader = threading.Thread(target=receive)
        reader.start()
        with contextlib.suppress(ConnectionError):
            caller.sendall(sent.head)
            for at in range(0, len(sent.body), SEND_BYTES):
                caller.sendall(sent.body[at : at + SEND_BYTES])
        reader.join()
    return int(received.split(b" ", 2)[1]) if received else 0


@pytest.mark.parametrize("name", BODIES)
def test_no_body_holds_the_event_loop(target: Controlled, name: str) -> None:
    longest_hold(target)
    status = answer_to(target, BODIES[name]())
    held = longest_hold(target).held
    assert status < 500
    assert held < HOLD_SECONDS, f"held for {held * 1000:.0f} ms"


WORST = ("form: preamble of lines", "form: preamble as gzip", "JSON: data URI of percents")


@pytest.mark.parametrize("name", WORST)
def test_others_are_answered_while_a_hostile_body_is_read_and_no_memory_is_kept(
    target: Controlled, name: str
) -> None:
    process = psutil.Process(target.process.pid)
    sent = BODIES[name]()
    answer_to(target, sent)
    before, descriptors = process.memory_info().rss, process.num_fds()
    with ThreadPoolExecutor(CALLERS) as callers:
        asked = [callers.submit(answer_to, target, sent) for _ in range(2 * CALLERS)]
        healthy = [get(target, "/hc")[0]]
        while not all(each.done() for each in asked):
            healthy.append(get(target, "/hc")[0])
    assert set(healthy) == {200}
    assert all(400 <= each.result() < 500 for each in asked)
    assert process.memory_info().rss - before < KEPT_BYTES
    until(lambda: process.num_fds() <= descriptors)


async def test_what_holds_the_loop_is_seen(aiohttp_client: Any) -> None:
    async def compute(_: web.Request) -> web.Response:
        until = time.process_time() + 2 * HOLD_SECONDS
        while time.process_time() < until:
            pass
        return web.Response()

    app = web.Application()
    app.router.add_get("/compute", compute)
    add_monitor(app)
    client = await aiohttp_client(app)
    await client.get("/compute")
    assert (await (await client.get(PATH)).json())["held"] > HOLD_SECONDS


def main() -> None:
    print("body | status | seconds | longest hold, ms | processor time in it, ms")
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder, controlled(Path(folder)) as server:
        for name, make in hostile(FULL_BYTES).items():
            if len(sys.argv) > 1 and sys.argv[1] not in name:
                continue
            sent = make()
            longest_hold(server)
            began = time.monotonic()
            status = answer_to(server, sent)
            seconds = time.monotonic() - began
            longest = longest_hold(server)
            worst = max(worst, longest.late)
            print(
                f"{name} | {status} | {seconds:.1f} | {longest.late * 1000:.1f} | "
                f"{longest.held * 1000:.1f}",
                flush=True,
            )
    print(f"the longest of all: {worst * 1000:.1f} ms")


if __name__ == "__main__":
    main()
