"""Each row of a batch stops at its own window's bound, and where it repeats itself."""

import pytest
import torch

from asr.engines.pipeline.text_stop import TextStop
from asr.engines.whisper.decoding.loops import CHECK_EVERY, most_tokens
from asr.engines.whisper.decoding.tokens import Vocabulary

VOCABULARY = Vocabulary(50258, 50257, 50361, 50362, 50363, {}, {})
OPENING = 3  # tokens


def written(*texts: list[int]) -> torch.Tensor:
    return torch.tensor([[50258] * OPENING + text for text in texts])


@pytest.mark.parametrize("watches_loops", [True, False])
def test_a_row_stops_at_the_bound_of_its_own_window(watches_loops):
    bound = most_tokens(0.5)
    stop = TextStop(VOCABULARY, OPENING, [0.5, 5.0], watches_loops)
    for count in range(1, bound + 2):
        text = list(range(100, 100 + count))
        assert stop(written(text, text), None).tolist() == [count >= bound, False]


def test_a_row_that_repeats_itself_stops_where_repetition_is_watched():
    loop, counting = [7] * (4 * CHECK_EVERY), list(range(100, 100 + 4 * CHECK_EVERY))
    for watches_loops in (True, False):
        stop = TextStop(VOCABULARY, OPENING, [3.0, 3.0], watches_loops)
        assert stop(written(loop, counting), None).tolist() == [watches_loops, False]
