"""Speech by its loudness: voices are never missed, steady sounds never taken for them."""

import numpy as np
import pytest

from asr.vad.energy import Energy
from benchmark.accuracy.noises import sounds
from models.demo import synthesise
from tests.conftest import RATE

SWELLING = {
    "beeps of 1 kHz",
    "breath",
    "loud breath",
    "clicks, two a second",
    "clicks, nine a second",
}


def judged(samples, block=RATE):
    track = Energy()
    for start in range(0, len(samples), block):
        track.push(samples[start : start + block])
    track.finish()
    return track


@pytest.mark.parametrize("snr_db", [None, 20, 5])
@pytest.mark.parametrize("language", ["en", "es"])
def test_every_sentence_is_possible_speech(language, snr_db):
    made = synthesise.recording(30, language, seed=4, snr_db=snr_db)
    track = judged(made.samples)
    assert track.is_possible(0, 30)
    for sentence in made.sentences:
        assert track.is_possible(sentence.start, sentence.end)


def test_speech_is_found_where_it_is():
    made = synthesise.recording(20, "en", seed=8, pause=(0.9, 1.5))
    spans = judged(made.samples).spans(0, 20)
    assert len(spans) == len(made.sentences)
    for span, sentence in zip(spans, made.sentences, strict=True):
        assert span.start == pytest.approx(sentence.start, abs=0.2)
        assert span.end == pytest.approx(sentence.end, abs=0.2)


def test_what_stays_as_it_is_is_no_speech():
    wrong = [
        name
        for name, samples in sounds(20.0).items()
        if name not in SWELLING and judged(samples).is_possible(0, 20)
    ]
    assert wrong == []


def test_the_size_of_the_blocks_changes_nothing():
    made = synthesise.recording(12, "en", seed=3)
    assert judged(made.samples, 777).spans(0, 12) == judged(made.samples, 12 * RATE).spans(0, 12)


def test_before_any_samples_nothing_is_said_of_it():
    assert not Energy().is_possible(0, 1)
    assert Energy().spans(0, 1) == []
    assert not judged(np.zeros(100, np.float32)).is_possible(0, 1)
