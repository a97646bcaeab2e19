"""Composed recordings: what they contain, and that it is where the reference says."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from asr.pcm import SAMPLE_RATE
from benchmark.speakers import cases, compose, voices
from benchmark.speakers.compose import Case

CASE = Case("a", speakers=3, seconds=30.0, seed=1)


@pytest.fixture
def people(folder):
    return voices.read(folder)


def mixed(made):
    return np.concatenate(list(made.blocks()))


def spoken(made):
    """Of each sample, how many speak, by the reference."""
    count = np.zeros(made.length, int)
    for start, end, _ in made.reference:
        count[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)] += 1
    return count


def test_sound_is_where_the_reference_says_and_nowhere_else(people):
    made = compose.compose(CASE, people)
    levels, speaking = np.abs(mixed(made)), spoken(made) > 0
    assert levels[~speaking].max() < 0.01
    assert np.mean(levels[speaking] > 0.01) > 0.8


def test_equal_cases_are_equal_and_others_differ(people):
    first, again = (mixed(compose.compose(CASE, people)) for _ in range(2))
    assert np.array_equal(first, again)
    other = compose.compose(replace(CASE, seed=2), people)
    assert other.reference != compose.compose(CASE, people).reference


def test_everybody_speaks_and_nobody_follows_himself(people):
    for case in (CASE, replace(CASE, speakers=5, seconds=8.0)):
        names = [name for _, _, name in compose.compose(case, people).reference]
        assert len(set(names)) == case.speakers
    turns = compose.compose(replace(CASE, turn=(0.3, 0.5)), people).reference
    assert all(one[2] != after[2] for one, after in pairwise(turns))


def test_a_turn_overlaps_the_one_before_where_that_is_asked(people):
    assert spoken(compose.compose(CASE, people)).max() == 1
    overlapping = spoken(compose.compose(replace(CASE, overlapping=1.0), people))
    assert np.mean(overlapping >= 2) > 0.05


def test_blocks_join_without_a_seam(people, monkeypatch):
    made = compose.compose(replace(CASE, overlapping=0.5), people)
    whole = mixed(made)
    monkeypatch.setattr(compose, "BLOCK", 7_001)
    assert np.array_equal(mixed(made), whole)


def test_noise_lies_as_far_below_speech_as_asked(people):
    made = compose.compose(replace(CASE, noise=15.0), people)
    noise = mixed(made)[spoken(made) == 0]
    assert 20 * np.log10(np.std(noise)) == pytest.approx(voices.LEVEL - 15.0, abs=2.0)


def test_a_recording_is_written_with_its_reference(people, tmp_path):
    made = compose.compose(CASE, people)
    made.write(tmp_path / "new" / "a.flac")
    samples, rate = soundfile.read(tmp_path / "new" / "a.flac", dtype="float32")
    assert rate == SAMPLE_RATE
    assert np.allclose(samples, mixed(made), atol=1e-4)
    first, *_ = (tmp_path / "new" / "a.rttm").read_text().splitlines()
    start, end, name = made.reference[0]
    assert first == f"SPEAKER a 1 {start:.3f} {end - start:.3f} <NA> <NA> {name} <NA> <NA>"


def test_the_halves_are_composed_differently_and_have_all_kinds():
    tuning, others = cases.composed(True), cases.composed(False)
    assert [one.name for one in tuning] == [one.name for one in others]
    assert not {one.seed for one in tuning} & {one.seed for one in others}
    assert {one.speakers for one in others} == set(range(1, 9))
    assert len({one.kind for one in others}) == 5
