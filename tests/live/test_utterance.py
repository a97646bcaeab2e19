"""The audio of a window grows in place, and what is behind its end goes to the next one."""

import numpy as np

from asr.live.options import LiveOptions
from asr.live.utterance import LiveUtterance, Take


def test_a_view_of_a_window_stays_as_it_is_while_the_window_grows():
    take = Take(LiveUtterance(LiveOptions(), 100), 100, 8)
    take.extend(np.array([1, 2, 3], np.float32))
    view = take.samples
    take.extend(np.array([4, 5], np.float32))
    rest = take.complete(103, is_last=True)
    assert view.tolist() == take.samples.tolist() == [1, 2, 3]
    assert rest.tolist() == [4, 5]
    assert (take.start, take.end) == (100, 103)
