"""One server with the demo model: callers leave it, it is asked to end, and nothing is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from benchmark import recordings
from benchmark.reliability import namespace
from benchmark.reliability.ending import end_in_flight
from benchmark.reliability.leaving import leave
from benchmark.reliability.observed import Observed
from benchmark.reliability.server import ServerProcess
from benchmark.soak.cards import WAYS
from benchmark.soak.clips import Clip
from models.demo import synthesise
from tests.conftest import PATIENCE_SECONDS, ROOT

LEAVERS, IN_FLIGHT = 3, 6


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """A server that the last test ends."""
    server = ServerProcess(tmp_path_factory.mktemp("lifecycle"), {"DRAIN_TIMEOUT_S": "100"})
    server.start()
    yield Observed(server)
    server.end()


@pytest.fixture(scope="module")
def long_file() -> bytes:
    return recordings.mp3(synthesise.recording(600, "en", seed=20).samples)


def test_callers_that_leave_in_mid_file_leave_no_slot_file_or_decoder(
    observed: Observed, long_file: bytes
) -> None:
    measured = leave(observed, long_file, LEAVERS)
    assert max(measured.idle_s) < float("inf")
    left = measured.left
    assert left["temporary files"] == 0
    assert left["ffmpeg processes"] == 0
    assert left["descriptors"] <= 1


async def test_sigterm_with_six_in_flight_answers_all_six_rightly(
    observed: Observed, long_file: bytes
) -> None:
    clips = [Clip(f"{n}.mp3", long_file[: len(long_file) // 20]) for n in range(IN_FLIGHT)]
    cards = [way.card(clip) for clip, way in zip(clips, 3 * WAYS[:2], strict=True)]
    ended = await end_in_flight(observed, cards)
    assert ended.in_flight >= 1
    assert ended.wrong == []
    assert ended.right == IN_FLIGHT
    assert ended.newcomer in {"ClientConnectorError", "503"}
    assert ended.code == 0


def test_a_server_without_a_network_starts_and_is_not_reached_before_it_is_ready() -> None:
    if (reason := namespace.why_not()) is not None:
        pytest.skip(reason)
    command = namespace.inside([sys.executable, "-m", "benchmark.reliability.start"])
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == 0, done.stderr.decode()
    assert set(json.loads(done.stdout)["early"]) <= {"connection refused", "503"}
