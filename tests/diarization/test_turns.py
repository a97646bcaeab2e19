"""Turns from what windows say."""

import numpy as np
import pytest

from asr.diarization import turns as module
from asr.diarization.segmentation import FRAMES, WINDOW_SAMPLES
from asr.diarization.turns import NOBODY, SegmentedWindow, turns
from tests.conftest import RATE

STEP = 40_000  # samples


def windows(schedule, count, step=STEP):
    """Windows in which the local speakers of `schedule`, (number, start, end), are heard."""
    made = []
    for start in range(0, count * step, step):
        times = (start + 270 * np.arange(FRAMES) + 495) / RATE
        bits = [np.zeros(FRAMES, bool) for _ in range(3)]
        for number, begun, ended in schedule:
            bits[number] |= (times >= begun) & (times < ended)
        codes = {0: 0, 1: 1, 2: 2, 4: 3, 3: 4, 5: 5, 6: 6}
        classes = [codes[a + 2 * b + 4 * c] for a, b, c in zip(*bits, strict=True)]
        made.append(SegmentedWindow(start, np.array(classes, np.uint8), (0, 1, 2)))
    return made


def found(schedule, count=10, speakers=(0, 1, 2)):
    samples = (count - 1) * STEP + WINDOW_SAMPLES
    made = turns(windows(schedule, count), np.array(speakers), samples)
    return [(round(turn.start, 1), round(turn.end, 1), turn.voice) for turn in made]


def test_turns_are_where_speakers_are_heard():
    schedule = [(0, 1.0, 5.0), (1, 5.5, 9.0), (0, 20.0, 30.0)]
    assert found(schedule) == [(1.0, 5.0, 0), (5.5, 9.0, 1), (20.0, 30.0, 0)]


def test_two_at_once_are_two_turns():
    assert found([(0, 1.0, 9.0), (2, 4.0, 6.0)]) == [(1.0, 9.0, 0), (4.0, 6.0, 2)]


def test_local_speakers_of_one_voice_are_one():
    assert found([(0, 1.0, 5.0), (1, 4.0, 9.0)], speakers=(0, 0, 1)) == [(1.0, 9.0, 0)]


def test_short_gaps_are_closed_and_short_turns_dropped():
    schedule = [(0, 1.0, 2.0), (0, 2.2, 3.0), (0, 4.0, 5.0), (1, 7.0, 7.05)]
    assert found(schedule) == [(1.0, 3.0, 0), (4.0, 5.0, 0)]


def test_what_most_windows_say_holds():
    made = windows([(0, 8.0, 9.0)], 4)
    wrong = SegmentedWindow(made[1].start, np.zeros(FRAMES, np.uint8), (0, 1, 2))
    [turn] = turns([made[0], wrong, *made[2:]], np.array([0, 1, 2]), 4 * RATE * 10)
    assert turn.start == pytest.approx(8.0, abs=0.05)


def test_blocks_do_not_show(monkeypatch):
    schedule = [(0, 1.0, 5.0), (1, 4.5, 14.0), (0, 20.0, 30.0)]
    whole = found(schedule)
    monkeypatch.setattr(module, "BLOCK_FRAMES", 100)
    assert found(schedule) == whole


def test_turns_end_with_the_recording():
    [turn] = turns(windows([(0, 0.0, 10.0)], 1), np.array([0, 1, 2]), 5 * RATE)
    assert (turn.start, turn.end) == (0.0, 5.0)


def test_nobody_has_no_turns():
    [window] = windows([], 1)
    silent = SegmentedWindow(0, window.classes, (NOBODY,) * 3)
    assert turns([silent], np.zeros(0, np.int64), WINDOW_SAMPLES) == []
