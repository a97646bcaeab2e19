"""A detector is fed with a recording no further than is asked."""

import numpy as np
import pytest

from asr.vad.detector import CERTAIN_FRAMES, FRAME_SECONDS, DetectorFeed, likeliest
from asr.vad.energy import Energy
from tests.conftest import RATE
from tests.vad.conftest import judged


def test_a_recording_is_read_as_far_as_is_asked_and_in_the_end_as_a_whole(silero, spoken):
    track = silero.begin()
    feed = DetectorFeed(track)
    for start in range(0, len(spoken.samples), 10 * RATE):
        feed.take(spoken.samples[start : start + 10 * RATE])
    feed.advance(4.0)
    assert len(track.probabilities(0, 14)) == int(4.0 / FRAME_SECONDS)
    feed.advance(3.0)
    feed.advance(11.0)
    assert len(track.probabilities(0, 14)) == int(11.0 / FRAME_SECONDS)
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
