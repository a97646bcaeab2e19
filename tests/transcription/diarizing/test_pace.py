"""The diarizer's thread keeps to its share of the cores."""

import pytest

from asr.transcription.diarizing.pace import SHARE, CoreShare


@pytest.mark.parametrize("cores", [1, 2, 4])
@pytest.mark.parametrize("elapsed", [0.1, 0.3])
def test_a_piece_and_its_rest_take_the_share_of_the_cores(cores, elapsed):
    rest = CoreShare(cores).rest(0.1, elapsed)
    assert 0.1 / (elapsed + rest) == pytest.approx(SHARE * cores)


def test_on_many_cores_one_thread_is_less_than_the_share():
    assert CoreShare(cores=64).rest(computed=0.1, elapsed=0.1) == 0.0


def test_a_piece_that_waited_for_processors_for_long_needs_no_rest():
    assert CoreShare(cores=2).rest(computed=0.1, elapsed=5.0) == 0.0
