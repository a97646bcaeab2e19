"""Quiet windows are made louder, loud ones and the noise of digital silence are not."""

import numpy as np
import pytest
import torch

from asr.engines.loudness import audible
from asr.engines.whisper.model.features import LogMel

LOUDER = {5e-5: 5e-5, 1.1e-4: 0.011, 2e-4: 0.02, 3e-3: 0.03, 0.0299: 0.03, 0.03: 0.03, 1.0: 1.0}


@pytest.mark.parametrize("peak", [0.0, *LOUDER])
def test_both_engines_make_a_window_equally_loud(peak: float) -> None:
    samples = np.linspace(-peak, peak, 101, dtype=np.float32)
    settings = LogMel(torch.zeros(1), torch.zeros(400), 160, 200)
    ours = settings.pad([samples])[0].numpy()
    np.testing.assert_allclose(audible(samples), ours[:101], rtol=1e-6)
    np.testing.assert_allclose(ours.max(), LOUDER.get(peak, 0.0), rtol=1e-5)
    assert not ours[101:].any()


def test_a_quiet_window_reaches_the_usual_peak_and_a_very_quiet_one_40_decibels_more() -> None:
    quiet = np.float32([0.003, -0.001])
    assert np.abs(audible(quiet)).max() == pytest.approx(0.03)
    assert np.abs(audible(quiet / 20)).max() == pytest.approx(0.015)
    assert audible(np.float32([])).size == 0
