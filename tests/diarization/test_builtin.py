"""The built-in diarizer: voices of known people."""

import numpy as np

from tests.conftest import RATE


def test_a_person_is_known_again_and_another_is_not(diarizer, voices):
    first, second = voices
    early, late = diarizer.voice(first[: 4 * RATE]), diarizer.voice(first[4 * RATE : 8 * RATE])
    other = diarizer.voice(second[: 4 * RATE])
    assert np.dot(early, late) > 0.7
    assert np.dot(early, other) < 0.5
    assert np.linalg.norm(early) == 1 or abs(np.linalg.norm(early) - 1) < 1e-5


def test_silence_is_nobodys_voice(diarizer):
    assert diarizer.voice(np.zeros(3 * RATE, np.float32)) is None
    assert diarizer.voice(np.zeros(0, np.float32)) is None


def test_a_long_reference_counts_with_its_first_ten_seconds(diarizer, voices):
    cut = voices[0][: 10 * RATE]
    assert diarizer.voice(np.concatenate([cut, voices[1]])) == diarizer.voice(cut)
