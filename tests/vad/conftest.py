"""Silero and the speech that it judges, for all tests of VAD."""

import pytest

from asr.vad.silero import Silero
from models.demo import synthesise
from tests.conftest import RATE


@pytest.fixture(scope="package")
def silero():
    return Silero.load()


@pytest.fixture(scope="package", params=["en", "es"])
def spoken(request):
    return synthesise.recording(14, request.param, seed=5, voices=3)


def judged(silero, samples, block=RATE):
    track = silero.begin()
    for start in range(0, len(samples), block):
        track.push(samples[start : start + block])
    track.finish()
    return track
