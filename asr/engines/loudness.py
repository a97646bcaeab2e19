"""How loud a window is for Whisper, which saw few quiet ones and loses words in them."""

from __future__ import annotations

import numpy as np

from asr.pcm import Samples

USUAL_PEAK = 0.03  # A window whose highest sample is at least this, of 1, is taken as it is.
LEAST_PEAK = 1e-4  # So is one whose samples are all below this, of 1: the noise of 16-bit files.
MOST_GAIN = 100.0  # Any other is made louder, by at most this factor: 40 dB.


def audible(samples: Samples) -> Samples:
    """Make a quiet window, float32 [samples], louder; others stay as they are."""
    peak = float(np.abs(samples).max(initial=0.0))
    if not LEAST_PEAK <= peak < USUAL_PEAK:
        return samples
    return samples * np.float32(min(USUAL_PEAK / peak, MOST_GAIN))
