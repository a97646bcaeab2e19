"""Windows are cut at pauses: no sample is lost, none comes twice."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.engines.engine import Window
from asr.pcm import SAMPLE_RATE
from asr.transcription.cutter import Cutter, quietest
from tests.conftest import tone

SECOND = SAMPLE_RATE


def cut(samples, window_seconds=30.0, stride_seconds=None, block=SECOND):
    cutter = Cutter(window_seconds, stride_seconds)
    windows = []
    for start in range(0, len(samples), block):
        windows += cutter.push(samples[start : start + block])
    return [*windows, *cutter.finish()]


def speech(*spans):
    """Tone and silence in turn, each of so many seconds."""
    parts = [tone(s) if i % 2 == 0 else np.zeros(round(s * SECOND)) for i, s in enumerate(spans)]
    return np.concatenate(parts).astype(np.float32)


@settings(max_examples=60)
@given(
    length=st.integers(1, 20 * SECOND),
    block=st.integers(400, 4 * SECOND),
    window=st.sampled_from([0.5, 1.0, 3.0, 6.5]),
    seed=st.integers(0, 9),
)
def test_windows_cut_at_pauses_hold_every_sample_once(length, block, window, seed):
    samples = np.random.default_rng(seed).uniform(-1, 1, length).astype(np.float32)
    windows = cut(samples, window, block=block)
    assert np.array_equal(np.concatenate([w.samples for w in windows]), samples)
    ends = np.cumsum([len(w.samples) for w in windows])
    assert [round(w.start * SECOND) for w in windows] == [0, *ends[:-1]]
    assert max(w.seconds for w in windows) <= window


@settings(max_examples=60)
@given(
    length=st.integers(1, 20 * SECOND),
    block=st.integers(400, 4 * SECOND),
    stride=st.sampled_from([0.1, 0.25, 0.5, 1.4]),
)
def test_windows_with_a_stride_overlap_by_twice_of_it(length, block, stride):
    samples = np.random.default_rng(0).uniform(-1, 1, length).astype(np.float32)
    windows = cut(samples, 3.0, stride, block=block)
    for before, after in pairwise(windows):
        assert before.end - after.start == pytest.approx(2 * stride)
        assert after.overlap == pytest.approx(2 * stride)
    whole = np.concatenate([w.samples[round(w.overlap * SECOND) :] for w in windows])
    assert np.array_equal(whole, samples)
    assert all(len(w.samples) > round(w.overlap * SECOND) for w in windows)


def test_the_size_of_the_blocks_changes_nothing():
    samples = np.random.default_rng(1).uniform(-1, 1, 70 * SECOND).astype(np.float32)
    starts = [w.start for w in cut(samples, block=SECOND)]
    assert [w.start for w in cut(samples, block=7_919)] == starts


@pytest.mark.parametrize("stride", [None, 0.5, 1.4])
def test_no_more_is_held_than_a_cutter_says_before(stride):
    cutter = Cutter(3.0, stride)
    block = np.ones(7 * SECOND, np.float32)
    for _ in range(5):
        assert cutter.held_samples <= cutter.most_held
        most = cutter.held_samples + cutter.growth(len(block))
        windows = [len(window.samples) for window in cutter.push(block)]
        assert sum(windows) + cutter.held_samples <= most


@settings(max_examples=40)
@given(
    length=st.integers(1, 20 * SECOND),
    block=st.integers(400, 4 * SECOND),
    window=st.sampled_from([0.5, 3.0]),
    stride=st.sampled_from([None, 0.1, 0.2]),
    lookahead=st.floats(0.0, 2.0),
)
def test_a_lookahead_changes_when_windows_come_but_not_which(
    length, block, window, stride, lookahead
):
    samples = np.random.default_rng(0).uniform(-1, 1, length).astype(np.float32)
    cutter = Cutter(window, stride, lookahead_seconds=lookahead)
    found, taken = [], 0
    for start in range(0, length, block):
        piece = samples[start : start + block]
        taken += len(piece)
        for each in cutter.push(piece):
            assert round(each.end * SECOND) + round(lookahead * SECOND) <= taken
            found.append(each)
    found += cutter.finish()
    expected = cut(samples, window, stride, block)
    assert [(w.start, w.end, w.overlap) for w in found] == [
        (w.start, w.end, w.overlap) for w in expected
    ]
    assert cutter.held_samples == 0


def test_a_window_ends_amid_a_pause():
    windows = cut(speech(24.0, 1.0, 20.0))
    assert windows[0].end == pytest.approx(24.5, abs=0.4)
    assert 24.1 < windows[0].end < 24.9


def test_the_first_window_is_cut_like_all_others():
    again = speech(8.0, 1.0, 15.0, 1.0)
    windows = cut(np.concatenate([again, again, again, again]))
    assert [w.seconds for w in windows[:3]] == pytest.approx([24.5, 25.0, 25.0], abs=0.4)
    assert len(cut(tone(35.0))) == 2
    assert len(cut(tone(70.0), stride_seconds=0.0)) == 3


def test_a_pause_too_early_does_not_make_a_short_window():
    windows = cut(speech(5.0, 1.0, 40.0))
    assert windows[0].seconds >= 20


def test_of_equal_pauses_the_last_is_taken():
    windows = cut(speech(21.0, 1.0, 5.0, 1.0, 20.0))
    assert windows[0].end > 27


@pytest.mark.parametrize("seconds", [0.01, 29.99, 30.0])
def test_audio_of_at_most_one_window_is_one_window(seconds):
    [window] = cut(tone(seconds))
    assert window.seconds == pytest.approx(seconds, abs=1e-4)


@pytest.mark.parametrize("seconds", [30.01, 31.0, 36.0, 60.0, 60.5, 64.9, 90.0])
def test_the_last_window_is_never_a_scrap(seconds):
    windows = cut(tone(seconds))
    assert all(w.seconds > 4 for w in windows)
    assert sum(w.seconds for w in windows) == pytest.approx(seconds)


def test_a_silent_scrap_that_a_codec_added_makes_no_second_window():
    [window] = cut(speech(29.8, 0.3))
    assert window.seconds == 30.0
    assert len(cut(speech(29.8, 0.5))) == 2
    assert len(cut(tone(30.1))) == 2


def test_silence_that_a_codec_added_ahead_makes_no_second_window():
    quiet = np.zeros(round(0.07 * SECOND), np.float32)
    sound = tone(29.99)
    [window] = cut(np.concatenate([quiet, sound, quiet[:600]]))
    assert window.start == pytest.approx(0.06, abs=0.01)
    assert window.seconds == 30.0
    place = round((0.07 - window.start) * SECOND)
    assert np.array_equal(window.samples[place : place + len(sound)], sound)
    assert len(cut(np.concatenate([tone(0.07), sound, quiet[:600]]))) == 2


def test_no_audio_is_no_window():
    assert cut(np.zeros(0, np.float32)) == []


def test_only_digital_silence_is_silent():
    noise = np.random.default_rng(0).normal(0, 1e-3, SECOND).astype(np.float32)
    assert Window(np.zeros(SECOND, np.float32), 0.0).is_silent
    assert not Window(noise, 0.0).is_silent


def test_the_quietest_place_is_the_middle_of_the_pause():
    assert quietest(speech(2.0, 1.0, 2.0)) == pytest.approx(2.8 * SECOND, abs=0.3 * SECOND)
