"""What is given out of a sequence early stays, whatever becomes of the rest of its window."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from asr.engines.engine import Window, WindowResult
from asr.engines.whisper import engine as engines
from asr.engines.whisper import result as results
from asr.engines.whisper.decoding import early_text
from asr.options import Options, Thresholds
from tests.support.drafting import DraftingEngine
from tests.support.models import POSITIONS, Caller, noise, recording, windows
from tests.support.twins import Twins

pytestmark = pytest.mark.both_forms

PLANS: dict[str, dict[str, Any]] = {
    "one by one": {"slots": 1, "encoder_batch": 1, "launches": 1},
    "four tokens, read late": {"slots": 5, "steps": 4, "launches": 1, "lookahead": 1},
    "padded to buckets": {"slots": 8, "buckets": (1, 4, 8), "lengths": (16, POSITIONS)},
}


NONE = Thresholds()  # Nothing is ever doubted.


def streamed(plain: list[Window], thresholds: Thresholds = NONE) -> list[Window]:
    return [
        replace(w, options=replace(w.options, is_streamed=True, thresholds=thresholds))
        for w in plain
    ]


@pytest.fixture(scope="module")
def doubted(tiny: Twins) -> tuple[list[Window], Thresholds]:
    """Windows of which half are doubted."""
    plain = windows(6, [Options("en"), Options(), Options("de", timestamps="word")])
    engine = DraftingEngine(tiny)
    engine.transcribe(plain)
    end = tiny.checkpoint.vocabulary.end_of_text
    scores = sorted(engine.attempts[window][0].avg_logprob(end) for window in plain)
    return plain, Thresholds(avg_logprob=(scores[2] + scores[3]) / 2)


@pytest.mark.parametrize("changes", PLANS.values(), ids=PLANS)
def test_segments_are_given_out_as_they_are_closed_and_stay(
    tiny: Twins, changes: dict[str, Any]
) -> None:
    asked = streamed(windows(10))
    caller = Caller(recording(tiny.checkpoint, **changes))
    caller.run(asked)
    for window in asked:
        final, early = caller.finals[window], caller.early.get(window, [])
        for result in early:
            known = [(s.start, s.end, s.text) for s in result.segments]
            assert known == [(s.start, s.end, s.text) for s in final.segments[: len(known)]]
            assert result.language == final.language
        lengths = [len(result.segments) for result in early]
        assert lengths == sorted(set(lengths))
        assert final.lasting >= max(lengths, default=0)
    assert len(caller.early) > 2


@pytest.mark.parametrize("changes", PLANS.values(), ids=PLANS)
def test_the_fallback_begins_behind_what_was_given_out_with_and_without_a_stream(
    tiny: Twins,
    doubted: tuple[list[Window], Thresholds],
    changes: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(early_text, "MARGIN", -99.0)  # all segments count as likely by themselves
    plain, thresholds = doubted
    live = streamed(plain, thresholds)
    whole = [replace(w, options=replace(w.options, is_streamed=False)) for w in live]
    caller = Caller(engine := DraftingEngine(tiny, **changes))
    caller.run(live)
    once = DraftingEngine(tiny)
    once.transcribe(whole)
    kept = 0
    for stream, silent in zip(live, whole, strict=True):
        attempts = engine.attempts[stream]
        assert [a.tokens for a in attempts] == [a.tokens for a in once.attempts[silent]]
        first = attempts[0]
        assert {tuple(a.tokens[: first.lasting]) for a in attempts} == {
            tuple(first.tokens[: first.lasting])
        }
        given = caller.early.get(stream, [])
        final = caller.finals[stream]
        if given and len(attempts) > 1:
            texts = [segment.text for segment in given[-1].segments]
            assert texts == [segment.text for segment in final.segments[: len(texts)]]
            assert {segment.temperature for segment in final.segments[: len(texts)]} == {0.0}
            kept += any(a.tokens != first.tokens for a in attempts[1:])
    assert kept, "nothing was doubted behind what was given out"


@pytest.mark.parametrize("changes", PLANS.values(), ids=PLANS)
def test_a_sequence_that_goes_on_behind_a_segment_is_decoded_as_if_it_had_never_stopped(
    tiny: Twins, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """The second attempt has the temperature of the first, and so the same text and words."""
    monkeypatch.setattr(
        engines, "fallback_temperature", lambda attempts, *_: 0.0 if len(attempts) < 2 else None
    )
    asked = [
        Window(noise(seed, 2.0), 0.0, Options("en", timestamps=timestamps, seed=seed))
        for seed in range(2)
        for timestamps in ("segment", "word")
    ]
    engine = DraftingEngine(tiny, **changes)
    found = engine.transcribe(asked)
    monkeypatch.undo()
    expected = DraftingEngine(tiny, slots=1).transcribe(asked)
    assert any(0 < engine.attempts[w][0].lasting < len(engine.attempts[w][0].tokens) for w in asked)
    for window, result, once in zip(asked, found, expected, strict=True):
        first, second = engine.attempts[window]
        assert first.tokens == second.tokens
        assert first.logprobs == pytest.approx(second.logprobs, abs=1e-4)
        assert times(result) == times(once)


def times(result: WindowResult) -> list[tuple[str, float, float]]:
    return [(word.text, word.start, word.end) for s in result.segments for word in s.words]


def test_a_rejected_window_keeps_what_was_given_out_and_says_why_the_rest_is_missing(
    tiny: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "best_attempt", lambda *_: "repetition")
    asked = streamed(windows(12, [Options("en"), Options("en", timestamps="word")]))
    caller = Caller(recording(tiny.checkpoint))
    caller.run(asked)
    for window in asked:
        final = caller.finals[window]
        assert final.rejected == "repetition"
        assert len(final.segments) == final.lasting
        given = caller.early.get(window, [])
        texts = [segment.text for segment in given[-1].segments] if given else []
        assert texts == [segment.text for segment in final.segments[: len(texts)]]
        if window.options.timestamps == "word":
            assert all(segment.words for segment in final.segments)
    assert sum(len(caller.finals[window].segments) for window in asked) > 2


def test_without_a_stream_nothing_is_given_out_early(tiny: Twins) -> None:
    caller = Caller(recording(tiny.checkpoint))
    caller.run(windows(8))
    assert not caller.early
    assert sum(result.lasting for result in caller.finals.values()) > 2


def test_a_window_that_is_dropped_after_its_first_segment_frees_its_slot(tiny: Twins) -> None:
    engine = recording(tiny.checkpoint, slots=2, encoder_batch=1, launches=1)
    caller, asked = Caller(engine), streamed(windows(6))
    waiting = list(asked)
    while not caller.early:
        caller.step([waiting.pop(0)] if engine.free() else [])
    [gone] = caller.early
    engine.drop(gone)
    caller.run(waiting)
    assert gone not in caller.finals
    assert engine._batch.free == 2
