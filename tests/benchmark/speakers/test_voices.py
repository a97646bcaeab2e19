"""The voices of a speech folder, and where each speaks."""

import numpy as np
import pytest

from benchmark.speakers import voices
from tests.benchmark.speakers.conftest import silence
from tests.conftest import RATE, tone


def test_each_folder_is_a_voice_but_for_clips_of_english(folder):
    assert [one.name for one in voices.read(folder)] == ["ca", "es", "english", "ana", "ben"]


def test_a_folder_without_voices_is_refused(tmp_path):
    with pytest.raises(ValueError, match="clips/LANGUAGE/"):
        voices.read(tmp_path)


def test_no_voice_is_in_both_halves(folder):
    found = voices.read(folder)
    tuning, other = voices.half(found, True), voices.half(found, False)
    assert sorted(one.name for one in tuning + other) == sorted(one.name for one in found)


def test_speech_is_cut_at_pauses_but_not_at_short_ones():
    clip = np.concatenate([tone(1.0), silence(0.1), tone(1.0), silence(0.5), tone(1.0)])
    found = np.array(voices.spans(clip)) / RATE
    assert found == pytest.approx(np.array([[0.0, 2.12], [2.58, 3.6]]), abs=0.02)


def test_a_click_is_no_speech():
    assert voices.spans(np.concatenate([silence(1.0), tone(0.1), silence(1.0)])) == []


def test_all_speech_has_one_level():
    quiet, loud = 0.05 * tone(1.0), tone(1.0)
    levels = [float(np.std(part)) for one in (quiet, loud) for part in voices.stretches(one)]
    assert levels == pytest.approx([10 ** (voices.LEVEL / 20)] * 2, rel=0.01)


def test_a_replayed_voice_is_lower_and_slower(folder):
    [ana] = [one for one in voices.read(folder) if one.name == "ana"]
    [first, *_], [slow, *_] = ana.stretches, ana.slower().stretches
    assert len(slow) / len(first) == pytest.approx(1 / voices.SLOWER, rel=0.05)


def test_replayed_voices_come_in_only_where_people_are_too_few(folder):
    found = voices.read(folder)
    assert voices.enough(found, 4) == found
    assert [one.name for one in voices.enough(found, 6)][-1] == "ca, slower"
