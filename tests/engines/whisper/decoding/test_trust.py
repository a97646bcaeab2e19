"""What is doubted, what is written again, what is kept; and which repetition is a loop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from asr.engines.whisper.decoding.fallback import TextQuality, doubt, kept, loops, next_temperature
from asr.engines.whisper.decoding.tokens import Vocabulary
from asr.options import Options, Thresholds

END, ZERO = 50257, 50364
VOCABULARY = Vocabulary(50258, END, 50361, 50362, ZERO - 1, {}, {})
USUAL = Thresholds(avg_logprob=-1.0, compression_ratio=2.4, no_speech=0.6)
GOOD = TextQuality(avg_logprob=-0.3, compression_ratio=1.5, silence=0.1)


@pytest.mark.parametrize(
    ("changes", "thresholds", "expected"),
    [
        ({}, USUAL, None),
        ({"avg_logprob": -1.01}, USUAL, "unlikely"),
        ({"avg_logprob": -1.01}, replace(USUAL, avg_logprob=None), None),
        ({"compression_ratio": 2.41}, USUAL, "repetition"),
        ({"is_loop": True}, USUAL, "repetition"),
        ({"compression_ratio": 9.0}, replace(USUAL, compression_ratio=None), None),
        ({"silence": 0.61}, USUAL, None),  # but likely: somebody speaks
        ({"silence": 0.61, "avg_logprob": -1.5}, USUAL, "no speech"),
        ({"silence": 0.61, "avg_logprob": -1.5, "compression_ratio": 9.0}, USUAL, "no speech"),
        ({"silence": 0.61}, replace(USUAL, avg_logprob=None), "no speech"),
        ({"silence": 1.0, "avg_logprob": -9.0}, Thresholds(), None),
    ],
)
def test_doubts_are_those_of_openai_whisper(
    changes: dict[str, Any], thresholds: Thresholds, expected: str | None
) -> None:
    assert doubt(replace(GOOD, **changes), thresholds) == expected


def test_a_doubtful_text_is_written_again_hotter_each_time_but_silence_is_not() -> None:
    options = Options(thresholds=USUAL)
    unlikely = replace(GOOD, avg_logprob=-2.0)
    heats = [next_temperature(unlikely, count, options) for count in range(1, 7)]
    assert heats == [0.2, 0.4, 0.6, 0.8, 1.0, None]
    assert next_temperature(GOOD, 1, options) is None
    assert next_temperature(replace(unlikely, silence=0.9), 1, options) is None
    assert next_temperature(unlikely, 1, replace(options, temperature=0.3)) is None


def test_the_trusted_attempt_is_kept_else_the_likeliest_that_is_no_loop() -> None:
    unlikely = replace(GOOD, avg_logprob=-2.0)
    worse, loop = replace(GOOD, avg_logprob=-3.0), replace(GOOD, avg_logprob=-0.1, is_loop=True)
    assert kept([GOOD], USUAL) == 0
    assert kept([loop, unlikely, GOOD], USUAL) == 2
    assert kept([loop, worse, unlikely, worse], USUAL) == 2
    assert kept([unlikely, worse, replace(unlikely, avg_logprob=-1.99999)], USUAL) == 0
    assert kept([loop, loop], USUAL) == "repetition"
    assert kept([unlikely, replace(unlikely, silence=0.9)], USUAL) == "no speech"


def test_a_word_said_too_often_for_the_time_is_a_loop() -> None:
    assert loops([ZERO, 5, 6, *[7] * 60], VOCABULARY, 5.0)
    assert loops([ZERO, 5, 6, *[7, 8, 9] * 30], VOCABULARY, 5.0)
    assert loops([5, 6, *[7, 8, 9] * 30, END], VOCABULARY, 5.0)


def test_times_between_the_words_do_not_hide_a_loop_nor_do_they_excuse_it() -> None:
    hasty = [part for n in range(20) for part in (ZERO + n, 7, 8, 9, ZERO + n + 1)]
    assert loops(hasty, VOCABULARY, 30.0), "60 words in 0.4 s"
    slow = [part for n in range(20) for part in (ZERO + 70 * n, 7, 8, 9, ZERO + 70 * n + 60)]
    assert not loops(slow, VOCABULARY, 30.0), "60 words in 28 s"
    late = [ZERO, *range(40), ZERO + 1400, ZERO + 1400, *[7] * 40]
    assert loops(late, VOCABULARY, 30.0), "40 words in 2 s"


@pytest.mark.parametrize(
    "said",
    [
        [7] * 4,  # no no no no
        [7, 9] * 15,  # no, no, no, ...
        list(range(100)),  # counting
        list(range(12)) * 10,  # a sentence ten times, in half a minute
        [7, *range(20, 30)] * 5,
        [*[7] * 40, *range(100, 110)],  # went on to other things
    ],
)
def test_what_can_be_said_in_the_time_is_no_loop(said: list[int]) -> None:
    assert not loops([ZERO, *said], VOCABULARY, 30.0)
    assert not loops([*said, END], VOCABULARY, 30.0)


def test_the_shortest_window_holds_a_word_repeated_a_few_times() -> None:
    assert not loops([7] * 31, VOCABULARY, 0.5)
    assert not loops(list(range(20)) * 5, VOCABULARY, 0.5)
    assert loops([7] * 32, VOCABULARY, 0.5)
