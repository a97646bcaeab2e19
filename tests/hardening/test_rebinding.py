"""A real DNS server that changes its answers leads no request to an address inside."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmark.reliability import namespace
from tests.conftest import PATIENCE_SECONDS, ROOT, tone, wav
from tests.hardening.rebinding import PRIVATE, PUBLIC


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, int]]:
    """What the requests of `rebinding.py` came to."""
    if (reason := namespace.why_not()) is not None:
        pytest.skip(reason)
    audio = tmp_path_factory.mktemp("rebinding") / "a.wav"
    audio.write_bytes(wav(tone(1.0)))
    command = namespace.inside([sys.executable, "-m", "tests.hardening.rebinding", str(audio)])
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == 0, done.stderr.decode()
    written: dict[str, dict[str, int]] = json.loads(done.stdout)
    return written


def test_a_public_name_is_fetched_through_real_dns(outcome: dict[str, dict[str, int]]) -> None:
    assert outcome["statuses"]["http://steady.example/a"] == 200
    assert f"{PUBLIC}/a" in outcome["seen"]


def test_a_name_that_is_bound_again_reaches_nothing_inside(
    outcome: dict[str, dict[str, int]],
) -> None:
    assert [place for place in outcome["seen"] if place.startswith(PRIVATE)] == []
    statuses = outcome["statuses"]
    assert statuses["http://rebinds.example/1"] == 200
    refused = ("rebinds.example/2", "flips.example/1", "inside.example/a", "hops.example/hop")
    assert {statuses[f"http://{url}"] for url in refused} == {403}


def test_of_public_and_private_addresses_only_the_public_ones_are_dialled(
    outcome: dict[str, dict[str, int]],
) -> None:
    statuses = outcome["statuses"]
    assert [statuses[f"http://both.example/{turn}"] for turn in (1, 2, 3)] == [200, 200, 403]
    assert {f"{PUBLIC}/1", f"{PUBLIC}/2"} <= set(outcome["seen"])


def test_each_request_asks_dns_once_and_dials_what_was_answered(
    outcome: dict[str, dict[str, int]],
) -> None:
    assert outcome["asked"] == {
        "steady.example": 1,
        "rebinds.example": 2,
        "flips.example": 2,
        "both.example": 3,
        "inside.example": 1,
        "hops.example": 2,
    }
