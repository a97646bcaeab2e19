"""Each frame of a session is judged once."""

import numpy as np
import pytest
import soundfile

from asr.config.config import DEMO_MODEL
from asr.live.voice import VoiceTrack, choose
from asr.vad.energy import Energy
from tests.conftest import tone


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    path = DEMO_MODEL.parent / "samples" / "en-short.flac"
    return soundfile.read(path, dtype="float32")[0]


def judged(track, samples, size):
    voice = VoiceTrack(track)
    parts = [voice.push(samples[n : n + size], 0.5) for n in range(0, len(samples), size)]
    return [np.concatenate([getattr(part, name) for part in parts]) for name in ("sure", "power")]


def test_frames_are_the_same_however_the_audio_is_divided(speech):
    whole, _ = judged(choose().begin(None), speech, len(speech))
    sure, power = judged(choose().begin(None), speech, 1237)
    assert len(sure) == len(power) == len(speech) // 512
    assert np.mean(sure == whole) > 0.99  # products of other sizes round differently
    assert 0.4 < np.mean(sure) < 1


def test_silero_knows_that_a_tone_is_no_voice_and_loudness_does_not():
    silent = np.zeros(16_000, np.float32)
    samples = np.concatenate([silent, tone(2.0), silent])
    assert not judged(choose().begin(None), samples, 4000)[0].any()
    loud = judged(Energy(), samples, 4000)[0]
    assert 1.7 < loud.sum() * 0.032 < 2.3


def test_a_lower_threshold_takes_more_for_speech(speech):
    sure = [VoiceTrack(choose().begin(None)).push(speech, value).sure.sum() for value in (0.1, 0.9)]
    assert sure[0] > sure[1]


def test_noise_is_no_voice():
    noise = np.random.default_rng(5).normal(0, 0.05, 16_000 * 20).astype(np.float32)
    assert not judged(choose().begin(None), noise, 4000)[0].any()
