"""The segmentation: as pyannote's layers compute it with the same weights."""

import numpy as np
import pytest
import torch

from asr.diarization.builtin import WEIGHTS
from asr.diarization.segmentation import CLASSES, FRAMES, WINDOW_SAMPLES, Segmentation


@pytest.fixture(scope="module")
def network():
    return Segmentation.load(WEIGHTS / "segmentation.safetensors", torch.device("cpu"))


def test_scores_are_those_of_the_reference(network, reference, spoken):
    with torch.inference_mode():
        scores = network.scores(torch.from_numpy(spoken)[None])[0].log_softmax(-1)
    assert scores.shape == (FRAMES, len(CLASSES))
    assert np.abs(scores.numpy() - reference["scores"]).max() < 0.05  # stored in float16
    different = network.classes(spoken) != reference["scores"].argmax(1)
    assert different.mean() < 0.005


@pytest.mark.parametrize("level", [0.0, 1e-9, 1.0])
def test_a_constant_is_nobody(network, level):
    assert not network.classes(np.full(WINDOW_SAMPLES, level, np.float32)).any()


def test_no_class_has_more_than_two_of_three_speakers():
    assert CLASSES.shape == (7, 3)
    assert CLASSES.sum(1).tolist() == [0, 1, 1, 1, 2, 2, 2]
