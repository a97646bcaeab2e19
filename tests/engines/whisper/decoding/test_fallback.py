"""A window whose text cannot be trusted is written again, it alone and in its own slot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from asr.engines.engine import Window, WindowResult
from asr.engines.whisper.decoding.attempt import Attempt
from asr.engines.whisper.decoding.fallback import (
    TextQuality,
    best_attempt,
    doubt,
    next_temperature,
    rejection_reason,
)
from asr.engines.whisper.decoding.tokens import Vocabulary
from asr.engines.whisper.encoding import encoder
from asr.engines.whisper.engine import WhisperEngine
from asr.engines.whisper.model.forward import encode
from asr.options import Options, Thresholds
from asr.transcript import Segment
from tests.support.drafting import IMPOSSIBLE, DraftingEngine, with_thresholds
from tests.support.models import (
    OPTIONS,
    POSITIONS,
    Caller,
    noise,
    windows,
)
from tests.support.twins import Twins, only

pytestmark = pytest.mark.both_forms


HEATS = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]


def test_an_untrusted_window_is_written_six_times_and_encoded_once(
    tiny: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    monkeypatch.setattr(encoder, "encode", lambda *given: encoded.append(1) or encode(*given))
    plain = windows(2)
    asked = with_thresholds(plain)
    engine = DraftingEngine(tiny)
    before = len(encoded)
    found = engine.transcribe(asked)
    assert len(encoded) - before == 1
    end = tiny.checkpoint.vocabulary.end_of_text
    for window, result, first in zip(asked, found, plain, strict=True):
        drafts = engine.attempts[window]
        assert [draft.temperature for draft in drafts] == HEATS
        assert drafts[0].tokens == tiny.reference(first.samples, first.options)
        for draft in drafts:
            same = pytest.approx(
                drafts[0].no_speech_prob, rel=1e-4
            )  # rounded as the batch is composed
            assert draft.no_speech_prob == same, "it had another sound"
        likeliest = max(drafts, key=lambda draft: draft.avg_logprob(end))
        for segment in result.segments:
            assert segment.temperature == likeliest.temperature
            assert segment.avg_logprob == likeliest.avg_logprob(end)
        assert [t for s in result.segments for t in s.tokens if t < end] == [
            t for t in likeliest.tokens if t < end
        ]
    assert any(result.segments for result in found)


def test_only_the_windows_that_fail_are_written_again(tiny: Twins) -> None:
    plain = windows(12)
    end = tiny.checkpoint.vocabulary.end_of_text
    engine = DraftingEngine(tiny)
    engine.transcribe(plain)
    scores = [engine.attempts[window][0].avg_logprob(end) for window in plain]
    lowest = sorted(scores)[6] - 1e-4
    asked = with_thresholds(plain, Thresholds(avg_logprob=lowest))
    engine.transcribe(asked)
    for window, score in zip(asked, scores, strict=True):
        attempts = engine.attempts[window]
        assert (len(attempts) > 1) == (score < lowest)
        assert all(attempt.avg_logprob(end) < lowest for attempt in attempts[:-1])


PLANS: dict[str, dict[str, Any]] = {
    "many at once": {"slots": 12, "encoder_batch": 5, "few_rows": 12},
    "four tokens, read late": {"slots": 5, "steps": 4, "launches": 1, "lookahead": 1},
    "padded to buckets": {"slots": 8, "buckets": (1, 4, 8), "lengths": (16, POSITIONS)},
}


@pytest.fixture(scope="module")
def alone(tiny: Twins) -> tuple[list[Window], list[list[Attempt]]]:
    """Windows of which every second one has thresholds, each written alone."""
    plain = windows(10)
    asked = [
        d if n % 2 else w
        for n, (w, d) in enumerate(zip(plain, with_thresholds(plain), strict=True))
    ]
    engine = DraftingEngine(tiny, slots=1, encoder_batch=1)
    engine.transcribe(asked)
    return asked, [engine.attempts[window] for window in asked]


@pytest.mark.parametrize("changes", PLANS.values(), ids=PLANS)
def test_second_attempts_are_the_same_among_others_and_leave_the_others_alone(
    tiny: Twins, alone: tuple[list[Window], list[list[Attempt]]], changes: dict[str, Any]
) -> None:
    asked, expected = alone
    engine = DraftingEngine(tiny, **changes)
    engine.transcribe(asked[::-1])
    for window, drafts in zip(asked, expected, strict=True):
        found = engine.attempts[window]
        assert [draft.tokens for draft in found] == [draft.tokens for draft in drafts]
    assert len({tuple(draft.tokens) for draft in expected[1]}) > 1, "chance changes nothing"


def test_a_temperature_that_was_asked_is_the_only_one(tiny: Twins) -> None:
    window = Window(noise(1), 0.0, Options("en", temperature=0.5, thresholds=IMPOSSIBLE))
    engine = DraftingEngine(tiny)
    [result] = engine.transcribe([window])
    assert [draft.temperature for draft in engine.attempts[window]] == [0.5]
    assert result.segments


def test_silence_is_not_written_again_and_its_text_is_thrown_away(tiny: Twins) -> None:
    window = Window(noise(1), 0.0, Options(thresholds=replace(IMPOSSIBLE, no_speech=0.0)))
    engine = DraftingEngine(tiny)
    [result] = engine.transcribe([window])
    assert len(engine.attempts[window]) == 1
    assert (result.segments, result.rejected, result.error) == ((), "no speech", None)
    assert result.language
    spoken = Options("en", thresholds=Thresholds(no_speech=1.0))
    [kept] = engine.transcribe([Window(noise(1), 0.0, spoken)])
    assert kept.segments
    assert kept.rejected is None


def test_the_words_of_a_second_attempt_have_the_times_of_that_attempt(tiny: Twins) -> None:
    options = Options("en", timestamps="word")
    asked = with_thresholds([Window(noise(seed, 2.0), 0.0, options) for seed in range(5)])
    engine = DraftingEngine(tiny, slots=3)
    heats = set()
    for window, result in zip(asked, engine.transcribe(asked), strict=True):
        [heat] = {segment.temperature for segment in result.segments}
        heats.add(heat)
        once = replace(window, options=replace(window.options, temperature=heat, seed=0))
        [expected] = DraftingEngine(tiny, slots=1).transcribe([once])
        assert words(result) == words(expected) != []
    assert len(heats) > 1, "no second attempt was kept"


def words(result: WindowResult) -> list[tuple[str, float, float]]:
    return [(word.text, word.start, word.end) for s in result.segments for word in s.words]


@pytest.mark.parametrize("changes", [{}, {"steps": 5, "launches": 1, "lookahead": 1}])
def test_a_loop_is_ended_early_and_not_kept(tiny: Twins, changes: dict[str, Any]) -> None:
    options = Options("en", timestamps="none")
    watched = replace(options, thresholds=Thresholds(compression_ratio=99.0))
    asked = [Window(noise(1), 0.0, watched), Window(noise(1), 0.0, options)]
    engine = DraftingEngine(only(tiny, 9), **changes)
    looped, free = engine.transcribe(asked)
    assert [len(draft.tokens) for draft in engine.attempts[asked[0]]] == [32] * 6
    assert (looped.segments, looped.rejected) == ((), "repetition")
    [whole] = engine.attempts[asked[1]]
    assert len(whole.tokens) == POSITIONS - 4
    assert free.segments


def test_what_chance_leads_out_of_a_loop_is_kept(tiny: Twins) -> None:
    options = Options("en", timestamps="none", thresholds=Thresholds(compression_ratio=99.0))
    engine = DraftingEngine(only(tiny, 100, 101, 102))
    asked = [Window(noise(seed), 0.0, options) for seed in range(6)]
    found = engine.transcribe(asked)
    looped = [window for window in asked if engine.attempts[window][0].is_loop]
    assert looped, "nothing loops here"
    for window, result in zip(asked, found, strict=True):
        attempts = engine.attempts[window]
        assert all(attempt.is_loop for attempt in attempts[:-1])
        if not attempts[-1].is_loop:
            assert {segment.temperature for segment in result.segments} == {
                HEATS[len(attempts) - 1]
            }
    assert any(len(engine.attempts[w]) > 1 and not engine.attempts[w][-1].is_loop for w in looped)


def test_a_language_is_detected_once_and_stays_through_all_attempts(tiny: Twins) -> None:
    asked = with_thresholds([Window(noise(seed), 0.0, OPTIONS[5]) for seed in range(4)])
    caller = Caller(DraftingEngine(tiny))
    caller.run(asked)
    for window in asked:
        early, final = caller.languages[window], caller.finals[window]
        assert early.language == final.language
        assert early.probabilities == final.probabilities != {}


def retried(engine: WhisperEngine) -> list[Window]:
    """The windows that are decoded for the second time or more."""
    return [sequence.window for sequence in engine._sequences if sequence.attempts]


def test_a_window_that_is_dropped_between_attempts_frees_its_slot(tiny: Twins) -> None:
    engine = DraftingEngine(tiny, slots=3, launches=1)
    caller, asked = Caller(engine), with_thresholds(windows(3))
    caller.step(asked[:2])
    while not retried(engine):
        caller.step([])
    [gone] = retried(engine)
    engine.drop(gone)
    assert not retried(engine)
    caller.run(asked[2:])
    assert set(caller.finals) == set(asked) - {gone}
    assert engine._batch.free == 3


END, ZERO = 50257, 50364
VOCABULARY = Vocabulary(50258, END, 50361, 50362, ZERO - 1, {}, {})
USUAL = Thresholds(avg_logprob=-1.0, compression_ratio=2.4, no_speech=0.6)
GOOD = TextQuality(avg_logprob=-0.3, compression_ratio=1.5, no_speech_prob=0.1)


@pytest.mark.parametrize(
    ("changes", "thresholds", "expected"),
    [
        ({}, USUAL, None),
        ({"avg_logprob": -1.01}, USUAL, "unlikely"),
        ({"avg_logprob": -1.01}, replace(USUAL, avg_logprob=None), None),
        ({"compression_ratio": 2.41}, USUAL, "repetition"),
        ({"is_loop": True}, USUAL, "repetition"),
        ({"compression_ratio": 9.0}, replace(USUAL, compression_ratio=None), None),
        ({"no_speech_prob": 0.61}, USUAL, None),  # but likely: somebody speaks
        ({"no_speech_prob": 0.61, "avg_logprob": -1.5}, USUAL, "no speech"),
        (
            {"no_speech_prob": 0.61, "avg_logprob": -1.5, "compression_ratio": 9.0},
            USUAL,
            "no speech",
        ),
        ({"no_speech_prob": 0.61}, replace(USUAL, avg_logprob=None), "no speech"),
        ({"no_speech_prob": 1.0, "avg_logprob": -9.0}, Thresholds(), None),
    ],
)
def test_reasons_for_a_fallback_are_those_of_openai_whisper(
    changes: dict[str, Any], thresholds: Thresholds, expected: str | None
) -> None:
    assert rejection_reason(replace(GOOD, **changes), thresholds) == expected


def test_an_untrusted_text_is_written_again_hotter_each_time_but_silence_is_not() -> None:
    options = Options(thresholds=USUAL)
    unlikely = replace(GOOD, avg_logprob=-2.0)
    heats = [next_temperature(unlikely, count, options) for count in range(1, 7)]
    assert heats == [0.2, 0.4, 0.6, 0.8, 1.0, None]
    assert next_temperature(GOOD, 1, options) is None
    assert next_temperature(replace(unlikely, no_speech_prob=0.9), 1, options) is None
    assert next_temperature(unlikely, 1, replace(options, temperature=0.3)) is None


def test_the_trusted_attempt_is_kept_else_the_likeliest_that_is_no_loop() -> None:
    unlikely = replace(GOOD, avg_logprob=-2.0)
    worse, loop = replace(GOOD, avg_logprob=-3.0), replace(GOOD, avg_logprob=-0.1, is_loop=True)
    assert best_attempt([GOOD], USUAL) == 0
    assert best_attempt([loop, unlikely, GOOD], USUAL) == 2
    assert best_attempt([loop, worse, unlikely, worse], USUAL) == 2
    assert best_attempt([unlikely, worse, replace(unlikely, avg_logprob=-1.99999)], USUAL) == 0
    assert best_attempt([loop, loop], USUAL) == "repetition"
    assert best_attempt([unlikely, replace(unlikely, no_speech_prob=0.9)], USUAL) == "no speech"


@pytest.mark.parametrize(
    ("own", "text", "changes", "thresholds", "expected"),
    [
        (-0.9, " Hello.", {}, USUAL, None),
        (-1.1, " Get off the car!", {}, USUAL, "unlikely"),  # in a window that is likely
        (-1.1, " Get off the car!", {}, replace(USUAL, avg_logprob=None), None),
        (-0.5, " " + "_" * 70, {}, USUAL, "repetition"),
        (-0.5, " Ha ha.", {"compression_ratio": 2.8}, USUAL, "repetition"),  # so is its window
        (-0.1, " Shhh!", {"no_speech_prob": 0.66}, USUAL, "no speech"),
        (-1.1, " Shhh!", {"no_speech_prob": 0.66}, USUAL, "unlikely"),
        (-9.0, " " + "_" * 70, {"no_speech_prob": 1.0}, Thresholds(), None),
    ],
)
def test_a_segment_is_doubted_by_its_own_tokens_and_by_its_attempt(
    own: float, text: str, changes: dict[str, Any], thresholds: Thresholds, expected: str | None
) -> None:
    segment = Segment(0.0, 2.0, text, own_logprob=own)
    assert doubt(segment, replace(GOOD, **changes), thresholds) == expected
