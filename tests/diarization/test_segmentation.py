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
    [classes] = network.classes([spoken])
    different = classes != reference["scores"].argmax(1)
    assert different.mean() < 0.005


@pytest.mark.parametrize("level", [0.0, 1e-9, 1.0])
def test_a_constant_is_nobody(network, level):
    [classes] = network.classes([np.full(WINDOW_SAMPLES, level, np.float32)])
    assert not classes.any()


def test_windows_are_the_same_alone_and_together(network, spoken):
    windows = [spoken, spoken[::-1].copy(), 0.1 * spoken, np.roll(spoken, 8_000)]
    together = network.classes(windows)
    alone = [network.classes([window])[0] for window in windows]
    assert np.mean(np.stack(together) != np.stack(alone)) < 0.001
    assert np.mean(together[0] != together[1]) > 0.1


def test_no_class_has_more_than_two_of_three_speakers():
    assert CLASSES.shape == (7, 3)
    assert CLASSES.sum(1).tolist() == [0, 1, 1, 1, 2, 2, 2]
