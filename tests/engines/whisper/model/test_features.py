"""The features are those that the model was trained on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from asr.engines.whisper.model.features import LogMel, log_mel
from asr.pcm import SAMPLE_RATE
from tests.support.models import noise

WINDOWS = {
    "short": noise(0, 0.7),
    "one frame": 10 * noise(1, 0.01),
    "exact": noise(2, 30),
    "nearly exact": noise(3, 29.9999),
    "silent": np.zeros(5 * SAMPLE_RATE, np.float32),
    "empty": np.zeros(0, np.float32),
    "loud": np.clip(40 * noise(4, 3), -1, 1),
    "faint": 1e-6 * noise(5, 3),
    "half silent": np.concatenate([noise(6, 2), np.zeros(SAMPLE_RATE, np.float32)]),
}


@pytest.mark.parametrize("mels", [80, 128])
def test_features_of_a_batch_equal_the_extractors_of_each_window(mels: int) -> None:
    extractor = WhisperFeatureExtractor(feature_size=mels)
    settings = LogMel.of(extractor, torch.device("cpu"))
    found = log_mel(settings.pad(list(WINDOWS.values())), settings)
    assert found.shape == (len(WINDOWS), mels, 3000)
    for features, (name, samples) in zip(found, WINDOWS.items(), strict=True):
        padded = samples if len(samples) else np.zeros(1, np.float32)
        expected = extractor(padded, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
        assert (features - expected[0]).abs().max() <= 1e-5, name


@pytest.mark.parametrize("level", [-40, -50, -60, -69])
def test_a_quiet_window_has_the_features_of_a_louder_one(level: float) -> None:
    settings = LogMel.of(WhisperFeatureExtractor(), torch.device("cpu"))
    loud = 0.03 / np.abs(noise(7, 3)).max() * noise(7, 3)
    quiet = (10 ** ((level + 30.5) / 20)) * loud
    quiet_features, loud_features = log_mel(settings.pad([quiet, loud]), settings)
    assert (quiet_features - loud_features).abs().max() <= 1e-3


def test_a_windows_features_do_not_depend_on_its_batch() -> None:
    settings = LogMel.of(WhisperFeatureExtractor(), torch.device("cpu"))
    windows = list(WINDOWS.values())
    together = log_mel(settings.pad(windows), settings)
    for features, samples in zip(together, windows, strict=True):
        [alone] = log_mel(settings.pad([samples]), settings)
        assert (features - alone).abs().max() <= 1e-6


def test_a_window_that_is_too_long_is_refused() -> None:
    settings = LogMel.of(WhisperFeatureExtractor(chunk_length=1), torch.device("cpu"))
    with pytest.raises(ValueError, match="broadcast"):
        settings.pad([noise(0, 1.1)])
