"""Known times at pauses are those of the sound, and errors count later as positive."""

import math

import numpy as np
import pytest
import soundfile

from benchmark.accuracy import word_times
from benchmark.accuracy.client import Timed
from benchmark.accuracy.corpus import Spoken
from tests.conftest import RATE, tone

NOWHERE = math.nan


def test_a_clip_is_spoken_where_it_is_loud():
    rng = np.random.default_rng(0)
    noise = (0.001 * rng.standard_normal(3 * RATE)).astype(np.float32)
    noise[RATE : 2 * RATE] += tone(1.0)
    assert word_times.loud_part(noise) == pytest.approx((1.0, 2.0), abs=0.03)


def test_joined_clips_have_the_times_of_the_words_beside_their_pauses(tmp_path):
    file = tmp_path / "a.wav"
    soundfile.write(file, tone(1.0), RATE)
    [made] = word_times.joined_recordings([Spoken(file, "One two, three.")] * 2, plain)
    assert [word.text for word in made.words] == ["one", "two", "three"] * 2
    first, second, third, fourth, *_ = made.words
    assert [math.isnan(t) for t in (first.end, second.start, second.end, third.start)] == [True] * 4
    assert third.end - first.start == pytest.approx(1.0, abs=0.03)
    assert fourth.start - third.end > word_times.SHORTEST_PAUSE - 0.03


def test_only_words_that_are_written_correctly_count():
    said = [Timed("one", 1.0, NOWHERE), Timed("two", NOWHERE, 2.0), Timed("three", 3.0, 3.5)]
    written = [Timed(" One", 0.5, 1.2), Timed(" two", 1.2, 2.5), Timed(" tree", 2.5, 3.5)]
    errors = word_times.time_errors(said, written, plain)
    assert errors == word_times.TimeErrors((-0.5,), (0.5,))


def plain(text):
    return text.strip(" ,.").casefold()
