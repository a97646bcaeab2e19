"""Text is given out early only if it is closed, likely and no repetition."""

from __future__ import annotations

from typing import Any

import pytest

from asr.engines.whisper.decoding.early_text import MARGIN, lasting
from asr.engines.whisper.decoding.tokens import Vocabulary
from asr.options import Thresholds

END, ZERO = 50257, 50364
VOCABULARY = Vocabulary(50258, END, 50361, 50362, ZERO - 1, {}, {})
USUAL = Thresholds(avg_logprob=-1.0, compression_ratio=2.4, no_speech=0.6)
FIRST = [ZERO, 11, 12, 13, ZERO + 100]  # a segment with its times
SECOND = [ZERO + 100, 21, 22, 23, ZERO + 200]


class Numbers:
    """Spells every token as its number."""

    def decode(self, tokens: list[int], **_: Any) -> str:
        return "".join(f" {token}" for token in tokens)


def found(
    tokens: list[int],
    logprobs: list[float] | None = None,
    no_speech_prob: float = 0.1,
    thresholds: Thresholds = USUAL,
) -> int:
    logprobs = logprobs or [-0.2] * len(tokens)
    return lasting(tokens, logprobs, no_speech_prob, thresholds, VOCABULARY, Numbers())


def test_a_segment_lasts_as_soon_as_its_end_is_written() -> None:
    assert [found(FIRST[:count]) for count in range(1, 6)] == [0, 0, 0, 0, 5]
    assert found([*FIRST, *SECOND[:4]]) == 5
    assert found([*FIRST, *SECOND]) == 10
    assert found([*FIRST, *SECOND, END]) == 10
    assert found([11, 12, END]) == 0  # without times


def test_what_lasts_does_not_depend_on_what_follows() -> None:
    rest = [ZERO + 200, 9, 9, 9, 9, ZERO + 210, ZERO + 210, 31, 32, ZERO + 300, END]
    tokens = [*FIRST, *SECOND, *rest]
    logprobs = [-0.2] * 10 + [-3.0] * len(rest)
    counts = [found(tokens[:count], logprobs[:count]) for count in range(1, len(tokens) + 1)]
    assert counts == sorted(counts)
    assert counts[-1] == 10


@pytest.mark.parametrize(
    ("logprobs", "thresholds", "is_likely"),
    [
        ([-0.5, -0.7, -0.6], USUAL, True),
        ([-0.5, -0.7, -0.7], USUAL, False),
        ([-9.0, -9.0, -9.0], Thresholds(), True),  # nothing is ever doubted
        ([float("nan"), -0.1, -0.1], Thresholds(), False),
        ([-0.1, -0.1, -0.1], Thresholds(avg_logprob=-MARGIN / 2), False),
    ],
)
def test_an_unlikely_segment_holds_back_itself_and_all_that_follow(
    logprobs: list[float], thresholds: Thresholds, is_likely: bool
) -> None:
    third = [ZERO + 200, 31, 32, 33, ZERO + 300]
    certain = [0.0] * 5
    scores = [*certain, -2.0, *logprobs, -2.0, *certain]  # its times alone are unlikely
    count = found([*FIRST, *SECOND, *third], scores, thresholds=thresholds)
    assert count == (15 if is_likely else 5)


def test_nothing_is_given_out_of_a_window_that_may_be_silence() -> None:
    assert found(FIRST, no_speech_prob=0.61) == 0
    assert found(FIRST, no_speech_prob=0.61, thresholds=Thresholds(avg_logprob=-1.0)) == 5


def test_repetition_is_held_back() -> None:
    again = [ZERO + 100, *FIRST[1:4], ZERO + 200]
    assert found([*FIRST, *again]) == 5, "the segment before is repeated"
    loop = [ZERO + 100, *[7, 8] * 20, ZERO + 200]
    assert found([*FIRST, *loop]) == 5
    assert found([*FIRST, *loop], thresholds=Thresholds(avg_logprob=-1.0)) == 47
    turns = [token for n in range(6) for token in (ZERO + n, *[11, 12, 13, 14, 15], ZERO + n + 1)]
    assert found(turns) == 7
    other = [[ZERO, 11, 12, 13, 14, ZERO + 9], [ZERO + 9, 21, 22, 23, 24, ZERO + 19]]
    assert found([token for segment in other * 9 for token in segment]) < 60, "in turns"
