"""CAM++: as 3D-Speaker's layers compute it with the same weights."""

import numpy as np
import pytest
import torch

from asr.diarization.builtin import WEIGHTS
from asr.diarization.campplus import SIZE, CamPlusPlus
from tests.diarization.make_reference import VOICES


@pytest.fixture(scope="module")
def network():
    return CamPlusPlus.load(WEIGHTS / "campplus.safetensors", torch.device("cpu"))


@pytest.mark.parametrize("number", range(len(VOICES)))
def test_voices_are_those_of_the_reference(network, reference, spoken, number):
    with torch.inference_mode():
        features = network.bank.features(torch.from_numpy(spoken), torch.arange(*VOICES[number]))
        made = network.embedding(features).numpy()
    expected = reference["voices"][number]
    assert made @ expected / np.linalg.norm(made) / np.linalg.norm(expected) > 0.9999


@pytest.mark.parametrize("frames", [1, 2, 3, 199, 200, 201])
def test_any_number_of_frames_has_a_voice(network, frames):
    with torch.inference_mode():
        made = network.embedding(torch.randn(frames, 80))
    assert made.shape == (SIZE,)
    assert made.isfinite().all()
