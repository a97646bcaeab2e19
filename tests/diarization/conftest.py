"""A diarizer, and a dialogue of two synthesised voices."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from asr.diarization.builtin import BuiltinDiarizer
from asr.options import SpeakerOptions
from models.demo import synthesise
from tests.conftest import RATE
from tests.diarization.make_reference import REFERENCE, SAMPLE, WINDOW

VOICES = ("gmw/en-US+m3", "gmw/en-US+f4")
TEXTS = (
    "We travel from Lima to Lisbon in September.",
    "The old garden has seven green trees and a river.",
    "My brother works in the market on Monday.",
    "She bought a red coat and two books for her mother.",
)


@pytest.fixture(scope="session")
def diarizer():
    return BuiltinDiarizer(torch.device("cpu"))


@pytest.fixture(scope="session")
def reference():
    """What others' code computes of `spoken`."""
    with np.load(REFERENCE) as stored:
        return dict(stored)


@pytest.fixture(scope="session")
def spoken():
    """Ten seconds of the demo model's recordings."""
    return soundfile.read(SAMPLE, dtype="float32")[0][WINDOW]


@pytest.fixture(scope="session")
def voices():
    """Speech of two people, some seconds each."""
    return [
        np.concatenate(
            [synthesise.speak(text, "en", voice, 160, 50).samples for text in TEXTS]
        ).astype(np.float32)
        for voice in VOICES
    ]


@pytest.fixture(scope="session")
def dialogue(voices):
    """The first speaks for four seconds, then the other, then the first again; 13 seconds."""
    pause = np.zeros(RATE // 3, np.float32)
    first, second = voices
    parts = [first[: 4 * RATE], second[: 4 * RATE], first[4 * RATE : 8 * RATE]]
    return np.concatenate([part for each in parts for part in (each, pause)])


def diarize(diarizer, samples, speakers=None, blocks=None):
    """Push samples in blocks that end at `blocks`, and work on each at once."""
    session = diarizer.begin(speakers or SpeakerOptions())
    for block in np.split(samples, blocks or []):
        session.push(block)
        while session.advance():
            pass
    session.complete()
    while session.advance():
        pass
    assert session.waiting == 0
    return session.finish()
