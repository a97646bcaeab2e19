"""A detector is fed with a recording no further than is asked."""

import numpy as np
import pytest

from asr.vad.detector import CHUNK_SECONDS, DetectorFeed
from asr.vad.silero import Silero
from models.demo import synthesise
from tests.conftest import RATE


@pytest.fixture(scope="module")
def silero():
    return Silero.load()


@pytest.fixture(scope="module", params=["en", "es"])
def spoken(request):
    return synthesise.recording(14, request.param, seed=5, voices=3)


def heard(silero, samples, block=RATE):
    hearing = silero.begin()
    for start in range(0, len(samples), block):
        hearing.push(samples[start : start + block])
    hearing.finish()
    return hearing


def test_a_recording_is_heard_as_far_as_is_asked_and_in_the_end_as_a_whole(silero, spoken):
    hearing = silero.begin()
    listener = DetectorFeed(hearing)
    for start in range(0, len(spoken.samples), 10 * RATE):
        listener.take(spoken.samples[start : start + 10 * RATE])
    listener.hear(4.0)
    assert len(hearing.probabilities(0, 14)) == int(4.0 / CHUNK_SECONDS)
    listener.hear(3.0)
    listener.hear(11.0)
    assert len(hearing.probabilities(0, 14)) == int(11.0 / CHUNK_SECONDS)
    listener.finish()
    whole = heard(silero, spoken.samples).probabilities(0, 14)
    assert np.allclose(hearing.probabilities(0, 14), whole, atol=1 / 255)
