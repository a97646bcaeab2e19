"""A GPU that runs out of memory or is lost: who is answered what, and who comes next.

The errors are injected into the engine's encoder. On a CPU the same tests run with the same
errors; what a real card does is only seen where there is one.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from benchmark.paths import SAMPLES
from benchmark.reliability.server import ServerProcess
from tests.conftest import PATIENCE_SECONDS
from tests.support.processes import until

CLIP = (SAMPLES / "en-short.flac").read_bytes()
FAULTY = (sys.executable, "-m", "benchmark.reliability.faulty_server")
DEVICES = [pytest.param("cuda", marks=pytest.mark.gpu), "cpu"]


def post(server: ServerProcess) -> requests.Response:
    return requests.post(f"{server.url}/asr?language=en", data=CLIP, timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize("device", DEVICES)
def test_an_injected_lack_of_memory_fails_no_request(tmp_path: Path, device: str) -> None:
    command = (*FAULTY, "out-of-memory", "8")
    with ServerProcess(tmp_path, {"DEVICE": device}, command) as server:
        answers = [post(server) for _ in range(12)]
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["text"] for answer in answers}) == 1
        assert "out of memory" in server.log_tail()


@pytest.mark.parametrize("device", DEVICES)
def test_a_lost_card_is_reported_to_everyone_and_to_the_probe(tmp_path: Path, device: str) -> None:
    with ServerProcess(tmp_path, {"DEVICE": device}, (*FAULTY, "lost", "5")) as server:
        statuses = [post(server).status_code for _ in range(8)]
        assert statuses == sorted(statuses)
        assert set(statuses) <= {200, 503}
        assert statuses[-1] == 503
        until(lambda: requests.get(f"{server.url}/hc", timeout=20).status_code == 503)


@pytest.mark.gpu
def test_many_windows_under_a_small_cap_of_memory_are_all_answered(tmp_path: Path) -> None:
    with (
        ServerProcess(tmp_path, {"DEVICE": "cuda"}, (*FAULTY, "cap", "6")) as server,
        ThreadPoolExecutor(64) as callers,
    ):
        answers = list(callers.map(lambda _: post(server), range(128)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["text"] for answer in answers}) == 1
