"""Requests together take no more memory than there is, and give it back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmark.load.burst import Caller, send
from benchmark.process_usage import MIB, peak_bytes, reset_peak, resident_bytes
from tests.conftest import tone, wav
from tests.support.cgroups import memory_group
from tests.support.processes import Controlled, ask, controlled, post, until
from tests.support.sounds import encoded

CALLERS = 500  # So many clients of a burst send at once.
BODY_BYTES = 2 * MIB  # Each of them sends so many bytes.
FILES = 24  # So many long files are sent at once.
LONG_FILES = 8  # So many files of five minutes are held in memory at once.
FREE_MIB = 60  # An idle server may hold so much more than at its start.


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlled]:
    """A server whose queue is full, and stays so."""
    settings = {"ENGINE_CAPACITY": "1", "MAX_QUEUE_SECONDS": "5"}
    with (
        controlled(tmp_path_factory.mktemp("full"), **settings) as server,
        ThreadPoolExecutor(20) as callers,
    ):
        server.hold()
        waiting = [callers.submit(post, server, wav(tone(1.0))) for _ in range(20)]
        until(lambda: any(one.done() and one.result()[0] == 429 for one in waiting))
        yield server
        server.release()


def burst(server: Controlled, request: bytes) -> tuple[list[Caller], float]:
    """Send `request` from all callers; return them, and by how many MiB the server grew."""
    reset_peak(server.process.pid)
    before = resident_bytes(server.process.pid)
    callers = send(server.port, request, CALLERS)
    return callers, (peak_bytes(server.process.pid) - before) / MIB


def test_a_burst_on_a_full_server_is_refused_without_taking_memory(full: Controlled) -> None:
    head = f"POST /asr HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
    callers, grown = burst(full, head.encode() + bytes(BODY_BYTES))
    assert Counter(one.failure or one.status for one in callers) == {429: CALLERS}
    assert all(one.has_header(b"retry-after") for one in callers)
    assert grown < 60, f"{CALLERS} refused requests took {grown:.0f} MiB"


def test_a_container_of_600_mib_outlives_24_long_files_at_once(tmp_path: Path) -> None:
    with (
        memory_group(600 * MIB) as group,
        ThreadPoolExecutor(FILES) as callers,
        controlled(tmp_path, entry=group.entry, ENGINE_CAPACITY="16", ENGINE_MIB="180") as server,
    ):
        server.hold()
        ten_minutes = encoded("ten-minutes.mp3")
        body = ten_minutes[: len(ten_minutes) // 2]
        asked = [callers.submit(post, server, body) for _ in range(FILES)]
        until(lambda: server.metric("asr_queue_audio_seconds") > 60)
        server.release()
        statuses = Counter(one.result()[0] for one in asked)
        assert set(statuses) <= {200, 429}
        assert statuses[200] > 0
        assert group.killed() == 0
        assert server.stop() == 0


def test_memory_goes_back_to_the_system_after_long_files(tmp_path: Path) -> None:
    with (
        controlled(tmp_path, ENGINE_CAPACITY="16") as server,
        ThreadPoolExecutor(FILES) as callers,
    ):
        post(server, wav(tone(40.0)))
        before = resident_bytes(server.process.pid)
        server.hold()
        path = "/asr?language=en"
        bodies = [wav(tone(300.0))] * LONG_FILES
        asked = [callers.submit(ask, server, "POST", path, body) for body in bodies]
        until(lambda: server.metric("asr_queue_audio_seconds") > 500)
        server.release()
        assert {one.result()[0] for one in asked} <= {200, 429}
        allowed = before + FREE_MIB * MIB
        until(lambda: resident_bytes(server.process.pid) < allowed, 60)
