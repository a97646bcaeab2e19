"""A detector is fed with a recording no further than is asked, and asked in the meantime."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.vad.detector import (
    CERTAIN_FRAMES,
    FRAME_SECONDS,
    DetectorFeed,
    TrackUntil,
    likeliest,
)
from asr.vad.energy import Energy
from asr.vad.loudness import RunningGain
from tests.conftest import RATE
from tests.vad.conftest import judged


def test_a_recording_is_read_as_far_as_is_asked_and_in_the_end_as_a_whole(silero, spoken):
    track = silero.begin()
    feed = DetectorFeed(track)
    for start in range(0, len(spoken.samples), 10 * RATE):
        feed.take(spoken.samples[start : start + 10 * RATE])
    feed.advance(4.0)
    assert len(track.probabilities(0, 14)) == math.ceil(4.0 / FRAME_SECONDS)
    feed.advance(3.0)
    feed.advance(11.0)
    assert len(track.probabilities(0, 14)) == math.ceil(11.0 / FRAME_SECONDS)
    feed.finish()
    whole = judged(silero, spoken.samples).probabilities(0, 14)
    assert np.allclose(track.probabilities(0, 14), whole, atol=1 / 255)


@pytest.mark.parametrize(
    ("probabilities", "certainty"),
    [
        ([], 0.0),
        ([0.2, 0.8], 0.5),  # shorter than a quarter second: all of it
        ([0.0] * 50 + [1.0] * CERTAIN_FRAMES + [0.0] * 50, 1.0),
        ([0.0] * 50 + [1.0] * (CERTAIN_FRAMES // 2) + [0.0] * 50, 0.5),  # a click
    ],
)
def test_a_voice_is_as_certain_as_the_likeliest_quarter_second(probabilities, certainty):
    assert likeliest(np.array(probabilities, np.float32)) == pytest.approx(certainty)


@pytest.mark.parametrize("begin", [Energy, None], ids=["energy", "silero"])
def test_no_speech_lasts_longer_than_its_recording(silero, spoken, begin):
    words = [word for sentence in spoken.sentences for word in sentence.words]
    _, first, last = max(words, key=lambda word: word[2] - word[1])
    for samples in range(round((first + last) / 2 * RATE), round(last * RATE) - 600, 100):
        track = (begin or silero.begin)()
        track.push(spoken.samples[:samples])
        track.finish()
        end = samples / RATE
        for spans in (track.spans(0.0, end + 1), track.voiced(0.0, end + 1)):
            assert end - FRAME_SECONDS <= spans[-1].end <= end


@pytest.mark.parametrize("begin", [Energy, None], ids=["energy", "silero"])
def test_a_track_may_be_asked_while_it_takes_samples(silero, spoken, begin, monkeypatch):
    track = (begin or silero.begin)()
    asked = []

    class Asking(RunningGain):
        """Asks in the middle of `push`, as another thread may."""

        def push(self, measured):
            gains = super().push(measured)
            asked.append((track.is_possible(0, 14), track.spans(0, 14), track.voiced(0, 14)))
            track.certainty(0, 14)
            return gains

    monkeypatch.setattr(track, "_gain", Asking())
    told = []
    for start in range(0, len(spoken.samples), RATE):
        told.append((track.is_possible(0, 14), track.spans(0, 14), track.voiced(0, 14)))
        track.push(spoken.samples[start : start + RATE])
    assert [each for each in told if each not in asked] == []


@pytest.mark.parametrize("begin", [Energy, None], ids=["energy", "silero"])
@settings(max_examples=20, deadline=None)
@given(until=st.floats(0.1, 8.0), more=st.floats(0.0, 6.0))
def test_what_follows_changes_nothing_before(silero, spoken, begin, until, more):
    track = (begin or silero.begin)()
    feed = DetectorFeed(track)
    feed.take(spoken.samples)

    def told():
        return (track.spans(0, until), track.voiced(0, until), track.is_possible(0, until))

    feed.advance(until)
    before = told()
    feed.advance(until + more)
    assert told() == before
    feed.finish()
    assert told() == before


@pytest.mark.parametrize("begin", [Energy, None], ids=["energy", "silero"])
@settings(max_examples=20, deadline=None)
@given(end=st.floats(0.0, 13.0), start=st.floats(0.0, 14.0), seconds=st.floats(0.0, 3.0))
def test_a_track_until_a_moment_hears_nothing_behind_it(silero, spoken, begin, end, start, seconds):
    short, long = ((begin or silero.begin)() for _ in range(2))
    short.push(spoken.samples[: round(end * RATE)])
    long.push(spoken.samples)
    asked = start, start + seconds
    for track in (TrackUntil(short, end), TrackUntil(long, end)):
        assert track.is_possible(*asked) == short.is_possible(*asked)
        assert track.spans(*asked) == short.spans(*asked)
        assert track.voiced(*asked) == short.voiced(*asked)
        assert track.certainty(*asked) == short.certainty(*asked)
