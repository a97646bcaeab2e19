"""The networks that are written as ONNX models compute what the built-in diarizer's do."""

from __future__ import annotations

import pytest
import torch

from asr.diarization.campplus import CamPlusPlus
from asr.diarization.filter_bank import BANDS
from asr.diarization.segmentation import WINDOW_SAMPLES, Segmentation
from benchmark.speakers.onnx_models import WEIGHTS, Scores, Traceable, Voice

CPU = torch.device("cpu")


@pytest.mark.parametrize("frames", [20, 199, 200, 201, 450])
def test_voices_are_the_same(frames: int) -> None:
    network = CamPlusPlus.load(WEIGHTS / "campplus.safetensors", CPU)
    traceable = Traceable(network.weights, network.bank, CPU)
    features = torch.randn(frames, BANDS, generator=torch.Generator().manual_seed(frames))
    with torch.inference_mode():
        [found] = Voice(traceable)(features[None])
        expected = network.embedding(features)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_scores_are_the_same() -> None:
    network = Segmentation.load(WEIGHTS / "segmentation.safetensors", CPU)
    windows = 0.1 * torch.randn(2, WINDOW_SAMPLES, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found = Scores(network)(windows[:, None])
        expected = network.scores(windows).log_softmax(-1)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
