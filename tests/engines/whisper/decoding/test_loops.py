"""Text that goes on for longer than anybody can speak is a loop; what can be said is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from asr.engines.engine import Window
from asr.engines.whisper.decoding import loops as loops_module
from asr.engines.whisper.decoding.loops import loops, most_tokens
from asr.engines.whisper.decoding.tokens import Vocabulary
from asr.options import Options, Thresholds
from tests.support.drafting import DraftingEngine
from tests.support.models import noise
from tests.support.twins import Twins, only

pytestmark = pytest.mark.both_forms

END, ZERO = 50257, 50364
VOCABULARY = Vocabulary(50258, END, 50361, 50362, ZERO - 1, {}, {})


@pytest.mark.parametrize("seconds", [0.0, 0.8, 5.0])
def test_more_tokens_than_can_be_said_in_the_time_count_as_a_loop(seconds: float) -> None:
    counting = list(range(100, 100 + most_tokens(seconds)))
    assert loops(counting, VOCABULARY, seconds)
    assert not loops(counting[:-1], VOCABULARY, seconds)
    assert not loops([*counting[:-1], END], VOCABULARY, seconds), "it ends in time"


@pytest.mark.parametrize(
    ("text", "bytes_a_token", "seconds", "is_too_long"),
    [
        (20, 5, 0.8, False),  # English, or Russian: 25 tokens a second
        (28, 5, 0.8, True),
        (100, 1, 0.8, False),  # Burmese, whose letters have three tokens of a byte each
        (300, 5, 30.0, False),
    ],
)
def test_a_text_of_more_bytes_than_can_be_said_counts_as_a_loop(
    text: int, bytes_a_token: int, seconds: float, is_too_long: bool
) -> None:
    vocabulary = replace(VOCABULARY, lengths=(bytes_a_token,) * END)
    assert loops(list(range(100, 100 + text)), vocabulary, seconds) == is_too_long


@pytest.mark.parametrize("changes", [{}, {"steps": 5, "launches": 1, "lookahead": 1}])
def test_an_attempt_ends_at_the_bound_of_its_windows_seconds(
    tiny: Twins, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr(loops_module, "BASE_BYTES", 3)
    monkeypatch.setattr(loops_module, "BYTES_PER_SECOND", 10)
    options = Options("en", timestamps="none")
    watched = replace(options, thresholds=Thresholds(compression_ratio=99.0))
    asked = [Window(noise(1, n), 0.0, o) for n in (0.5, 1.5) for o in (watched, options)]
    engine = DraftingEngine(only(tiny, *range(100, 160)), **changes)
    found = engine.transcribe(asked)
    lengths = [[len(draft.tokens) for draft in engine.attempts[window]] for window in asked]
    assert lengths == [[8] * 6, [8], [16] * 6, [18]], "every 16 tokens the bytes are counted"
    assert [result.rejected for result in found] == ["repetition", None] * 2


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
    assert not loops([7] * 15, VOCABULARY, 0.5)
    assert not loops(list(range(20)) * 4, VOCABULARY, 0.5)
    assert loops([7] * 16, VOCABULARY, 0.5)
    assert not loops([7] * 31, VOCABULARY, 3.2)
