"""There are no more decoders than there are descriptors for."""

from __future__ import annotations

import logging
import resource

import pytest

from asr.audio.process_limit import affordable
from tests.support.faults import limited


@pytest.mark.parametrize(("descriptors", "processes"), [(1024, 64), (768, 64), (256, 21), (8, 1)])
def test_half_of_the_descriptors_are_for_decoders(descriptors: int, processes: int) -> None:
    with limited(resource.RLIMIT_NOFILE, descriptors):
        assert affordable(64) == processes
        assert affordable(1) == 1


def test_fewer_decoders_than_wanted_are_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    with limited(resource.RLIMIT_NOFILE, 128):
        affordable(64)
        affordable(10)
    [line] = caplog.messages
    assert "DECODERS=64" in line
    assert "at most 10 ffmpeg processes" in line
