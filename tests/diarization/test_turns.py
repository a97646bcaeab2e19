"""Turns from stretches of voices."""

import numpy as np

from asr.diarization.diarizer import VoiceTurn
from asr.diarization.turns import VoiceStretch, turns
from tests.conftest import RATE

SPEAKERS = np.array([0, 1, 0])  # Voices 0 and 2 are one person's.


def found(*stretches, samples=100 * RATE):
    made = turns((VoiceStretch(*each) for each in stretches), SPEAKERS, samples)
    return [(round(turn.start, 1), round(turn.end, 1), turn.voice) for turn in made]


def test_stretches_of_one_person_that_touch_are_one_turn():
    assert found((100, 200, 0), (200, 350, 2)) == [(1.7, 5.9, 0)]
    assert found((100, 400, 0), (200, 350, 2)) == [(1.7, 6.8, 0)]


def test_a_short_gap_is_in_the_turn_and_a_long_one_is_not():
    assert found((100, 200, 0), (215, 300, 2)) == [(1.7, 5.1, 0)]
    assert found((100, 200, 0), (216, 300, 2)) == [(1.7, 3.4, 0), (3.7, 5.1, 0)]


def test_turns_of_two_overlap():
    assert found((100, 400, 0), (200, 300, 1)) == [(1.7, 6.8, 0), (3.4, 5.1, 1)]


def test_a_moment_is_no_turn():
    assert found((100, 105, 0), (200, 300, 1)) == [(3.4, 5.1, 1)]


def test_turns_end_with_the_recording():
    assert found((0, 589, 0), samples=5 * RATE) == [(0.0, 5.0, 0)]


def test_the_order_of_the_stretches_does_not_matter():
    stretches = [(100, 200, 0), (150, 300, 1), (205, 280, 2), (500, 600, 1)]
    assert found(*stretches) == found(*reversed(stretches))


def test_nobody_has_no_turns():
    assert turns([], np.zeros(0, np.int64), RATE) == list[VoiceTurn]()
