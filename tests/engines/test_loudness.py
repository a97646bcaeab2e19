"""Quiet windows are made louder, loud ones and the noise of digital silence are not."""

import numpy as np
import pytest
import torch

from asr.engines.loudness import audible
from asr.engines.whisper.model.features import _audible


@pytest.mark.parametrize("peak", [0.0, 5e-5, 1.1e-4, 2e-4, 3e-3, 0.0299, 0.03, 1.0])
def test_both_engines_make_a_window_equally_loud(peak: float) -> None:
    samples = np.linspace(-peak, peak, 101, dtype=np.float32)
    ours = _audible(torch.from_numpy(samples)[None])[0].numpy()
    np.testing.assert_allclose(audible(samples), ours, rtol=1e-6)


def test_a_quiet_window_reaches_the_usual_peak_and_a_very_quiet_one_40_decibels_more() -> None:
    quiet = np.float32([0.003, -0.001])
    assert np.abs(audible(quiet)).max() == pytest.approx(0.03)
    assert np.abs(audible(quiet / 20)).max() == pytest.approx(0.015)
    assert audible(np.float32([])).size == 0
