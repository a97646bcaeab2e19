"""A call is made of two recordings, a channel each, the second one later."""

import numpy as np

from asr.pcm import SAMPLE_RATE
from benchmark.call import joined


def test_the_second_voice_begins_later_and_nothing_is_cut():
    left, right = np.ones(SAMPLE_RATE, np.float32), np.ones(2 * SAMPLE_RATE, np.float32)
    call = joined(left, right, late=0.5)
    assert call.shape == (SAMPLE_RATE * 5 // 2, 2)
    assert call[:, 0].tolist() == [1.0] * SAMPLE_RATE + [0.0] * (SAMPLE_RATE * 3 // 2)
    assert call[:, 1].tolist() == [0.0] * (SAMPLE_RATE // 2) + [1.0] * (2 * SAMPLE_RATE)
    assert joined(right, left, late=0.0).shape == (2 * SAMPLE_RATE, 2)
