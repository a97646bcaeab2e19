"""Stretches of local speakers, and what voices are taken from."""

import numpy as np
import pytest

from asr.diarization.segmentation import FRAMES
from asr.diarization.stretches import (
    LONGEST_PAUSE,
    MOST_FEATURES,
    features_of,
    runs,
    voice_samples,
)

MIDDLE = (222, 370)  # frames
ONE, TWO, BOTH = 1, 2, 4  # classes


def classes(*parts):
    made = np.zeros(FRAMES, np.uint8)
    for kind, start, end in parts:
        made[start:end] = kind
    return made


def stretches(*parts, first=0, last=FRAMES):
    return [sample.stretches for sample in voice_samples(classes(*parts), first, last)]


def test_only_what_is_asked_for_is_given():
    parts = [(ONE, 0, 100), (ONE, 200, 300), (ONE, 350, 589)]
    assert stretches(*parts, first=222, last=370) == [((222, 300),), ((350, 370),)]
    assert stretches(*parts, first=110, last=190) == []


def test_a_pause_divides_two_stretches_and_a_shorter_one_does_not():
    ends = 200 + LONGEST_PAUSE
    assert stretches((ONE, 100, 200), (ONE, ends, 300)) == [((100, 300),)]
    assert stretches((ONE, 100, 200), (ONE, ends + 1, 300)) == [((100, 200),), ((ends + 1, 300),)]


def test_short_stretches_share_the_voice_of_their_local_speaker():
    made = voice_samples(classes((ONE, 0, 200), (ONE, 230, 250), (ONE, 300, 320)), *MIDDLE)
    assert [sample.stretches for sample in made] == [((230, 250), (300, 320))]
    assert len(made[0].features) == MOST_FEATURES
    assert made[0].seconds == pytest.approx(0.675)


def test_a_moment_has_no_voice():
    assert stretches((ONE, 250, 260)) == []


def test_voices_are_taken_where_one_speaks_alone():
    [one, two] = voice_samples(classes((ONE, 200, 300), (BOTH, 300, 340), (TWO, 340, 400)), *MIDDLE)
    assert (one.stretches, two.stretches) == (((222, 340),), ((300, 370),))
    alone = np.zeros(FRAMES, bool)
    alone[200:300] = True
    assert list(one.features) == list(features_of(alone))
    assert one.features.max() < two.features.min()


def test_long_speech_is_heard_around_its_middle():
    [sample] = voice_samples(classes((ONE, 0, FRAMES)), *MIDDLE)
    assert len(sample.features) == MOST_FEATURES
    assert sample.features.mean() * 0.01 == pytest.approx(296 * 0.016875, abs=0.1)


def test_features_are_those_at_the_same_time():
    active = np.zeros(FRAMES, bool)
    active[100:200] = True
    times = features_of(active) * 0.01 + 0.0125
    assert times.min() == pytest.approx(100 * 0.016875 + 0.031, abs=0.02)
    assert times.max() == pytest.approx(199 * 0.016875 + 0.031, abs=0.02)


def test_runs_at_the_ends_are_whole():
    assert runs(np.ones(5, bool), 1) == [(0, 5)]
    assert runs(np.zeros(5, bool), 1) == []
