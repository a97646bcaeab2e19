"""How many connections the system's descriptors allow."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from asr.resources.descriptors import (
    LEAST_CONNECTIONS,
    MOST_CONNECTIONS,
    OWN,
    PER_DECODER,
    connection_limit,
)
from tests.conftest import ROOT

RAISE = "import resource; from asr.resources.descriptors import raise_limit; print(raise_limit())"


@pytest.mark.parametrize("descriptors", [64, 256, 512, 1024, 4096, 20_000, 65_536])
def test_connections_and_decoders_together_fit_into_the_descriptors(descriptors: int) -> None:
    connections = connection_limit(descriptors, decoders=64, backlog=128)
    assert LEAST_CONNECTIONS <= connections <= MOST_CONNECTIONS
    if connections > LEAST_CONNECTIONS:
        decoders = min(64 * PER_DECODER, descriptors // 3)
        assert connections + 128 + OWN + decoders < descriptors


def test_more_descriptors_are_more_connections() -> None:
    limits = [connection_limit(count, 64, 128) for count in (512, 1024, 2048, 65_536)]
    assert limits == sorted(set(limits))
    assert limits[1] == 320


@pytest.mark.parametrize(("soft", "hard", "expected"), [(256, 800, 800), (500, 500, 500)])
def test_the_limit_is_raised_as_far_as_it_may(soft: int, hard: int, expected: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RAISE + "; print(*resource.getrlimit(resource.RLIMIT_NOFILE))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
    )
    assert done.stdout.split() == [str(expected), str(expected), str(hard)]
