"""The diarizer's thread keeps to its share of the time."""

import pytest

from asr.transcription.diarizing.pace import SHARE, rest


@pytest.mark.parametrize("elapsed", [0.1, 0.3])
def test_a_piece_and_its_rest_take_the_share_of_the_time(elapsed):
    assert 0.1 / (elapsed + rest(0.1, elapsed)) == pytest.approx(SHARE)


def test_a_piece_that_waited_for_a_processor_for_long_needs_no_rest():
    assert rest(computed=0.1, elapsed=5.0) == 0.0
