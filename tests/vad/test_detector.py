"""A detector is fed with a recording no further than is asked."""

import numpy as np

from asr.vad.detector import FRAME_SECONDS, DetectorFeed
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
