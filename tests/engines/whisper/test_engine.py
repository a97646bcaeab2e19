"""The engine writes what `generate` writes, whatever else is in flight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from asr.engines.engine import Window
from asr.engines.whisper import engine as engines
from asr.engines.whisper.encoding import encoder
from asr.engines.whisper.model.forward import encode
from asr.engines.whisper.sequence import SequenceStatus
from asr.options import Options
from tests.support.models import OPTIONS, POSITIONS, Caller, noise, recording, windows, written
from tests.support.twins import Twins

pytestmark = pytest.mark.both_forms


def test_every_token_is_the_one_that_generate_writes(twins: Twins) -> None:
    asked = windows(12)
    engine = recording(twins.checkpoint)
    tokens = written(engine, asked)
    for window, found in zip(asked, tokens, strict=True):
        assert found == twins.reference(window.samples, window.options), window.options
    assert len({tuple(found) for found in tokens}) > len(OPTIONS), "the audio makes no difference"


def test_the_random_models_exercise_words_times_and_ends(tiny: Twins) -> None:
    tokens = written(recording(tiny.checkpoint), windows(24))
    first_timestamp = tiny.checkpoint.vocabulary.first_timestamp
    end = tiny.checkpoint.vocabulary.end_of_text
    ended = sum(found[-1] == end for found in tokens)
    assert 0 < ended < len(tokens)
    assert sum(token >= first_timestamp for found in tokens for token in found) > len(tokens)
    assert len({token for found in tokens for token in found if token < end}) > len(tokens)


@pytest.fixture(scope="module")
def alone(tiny: Twins) -> dict[Window, list[int]]:
    """Windows, and what each of them writes with nothing else in flight."""
    asked = windows(24)
    engine = recording(tiny.checkpoint, slots=1, encoder_batch=1)
    return dict(zip(asked, written(engine, asked), strict=True))


PLANS: dict[str, dict[str, Any]] = {
    "many at once": {"slots": 12, "encoder_batch": 5, "few_rows": 12},
    "one launch of three tokens": {"slots": 5, "steps": 3, "launches": 1},
    "four tokens, read late": {"slots": 5, "steps": 4, "launches": 1, "lookahead": 1},
    "one token, read very late": {"slots": 3, "launches": 1, "lookahead": 3},
    "padded to buckets": {"slots": 8, "buckets": (1, 4, 8), "lengths": (16, POSITIONS)},
    "encoded side by side": {"slots": 8, "encoder_batch": 3, "few_rows": 6, "side_by_side": True},
    "encoder seldom": {"slots": 6, "few_rows": 1, "encoder_spacing": 7},
}


@pytest.mark.parametrize("changes", PLANS.values(), ids=PLANS)
def test_a_windows_tokens_do_not_depend_on_what_else_is_in_flight(
    tiny: Twins, alone: dict[Window, list[int]], changes: dict[str, Any]
) -> None:
    asked = list(alone)
    expected = list(alone.values())
    assert written(recording(tiny.checkpoint, **changes), asked) == expected
    reverse = written(recording(tiny.checkpoint, **changes), asked[::-1])
    assert reverse[::-1] == expected


@pytest.mark.parametrize("lookahead", [0, 1])
def test_those_who_stay_do_not_notice_those_who_leave(
    tiny: Twins, alone: dict[Window, list[int]], lookahead: int
) -> None:
    asked = list(alone)
    engine = recording(tiny.checkpoint, slots=6, launches=1, steps=2, lookahead=lookahead)
    caller, waiting, left = Caller(engine), list(asked), []
    for _ in range(2000):
        free = engine.free()
        caller.step(waiting[:free])
        waiting = waiting[free:]
        running = {sequence.window for sequence in engine._sequences}
        in_flight = [window for window in asked if window in running]
        if len(in_flight) > 3 and len(left) < 8:
            left.append(in_flight[1])
            engine.drop(in_flight[1])
    assert engine.held() == 0
    assert len(left) >= 5
    assert set(caller.finals) == set(asked) - set(left)
    for window in caller.finals:
        assert engine.sequences[window].tokens == alone[window]


def test_hundreds_of_windows_come_and_go_and_no_slot_is_lost(
    tiny: Twins, alone: dict[Window, list[int]]
) -> None:
    chance = np.random.default_rng(0)
    asked = list(alone)
    engine = recording(tiny.checkpoint, slots=7, encoder_batch=3, few_rows=5, encoder_spacing=6)
    caller, origin, dropped, broken = Caller(engine), {}, set(), set()
    for _ in range(300):
        template = asked[chance.integers(len(asked))]
        window = Window(template.samples, 0.0, template.options)
        if chance.random() < 0.3:
            window = Window(np.full(100, np.nan, np.float32), 0.0)
            broken.add(window)
        origin[window] = template
        while not engine.free():
            caller.step([])
        caller.step([window])
        if chance.random() < 0.7:
            leaving = list(origin)[-chance.integers(1, 5) :][0]
            if leaving not in caller.finals:
                engine.drop(leaving)
                dropped.add(leaving)
    caller.run([])
    assert engine.held() == 0
    assert engine._batch.free == 7
    assert engine.free() == 3
    assert set(caller.finals) == set(origin) - dropped
    assert len(dropped) > 40
    assert len(broken - dropped) > 40
    for window, result in caller.finals.items():
        assert (result.error is not None) == (window in broken)
        if window not in broken:
            assert engine.sequences[window].tokens == alone[origin[window]]


@pytest.mark.parametrize("options", OPTIONS[:4])
def test_a_model_that_never_ends_stops_at_its_places(endless: Twins, options: Options) -> None:
    asked = [Window(noise(seed), 0.0, options) for seed in range(3)]
    engine = recording(endless.checkpoint)
    for tokens, window in zip(written(engine, asked), asked, strict=True):
        opening = engine.sequences[window].opening.tokens
        assert len(opening) + len(tokens) == POSITIONS
        assert tokens == endless.reference(window.samples, options)


@pytest.mark.parametrize("changes", [{}, {"steps": 4, "launches": 1, "lookahead": 1}])
def test_the_most_new_tokens_are_those_of_the_setting(
    endless: Twins, changes: dict[str, Any]
) -> None:
    asked = windows(6)
    short = written(recording(endless.checkpoint, limit=7, **changes), asked)
    whole = written(recording(endless.checkpoint), asked)
    assert short == [tokens[:7] for tokens in whole]


def test_a_long_prompt_keeps_its_end(endless: Twins) -> None:
    words = " ".join(str(number) for number in range(100, 160))
    asked = Window(noise(0), 0.0, Options(language="en", prompt=words))
    engine = recording(endless.checkpoint)
    [tokens] = written(engine, [asked])
    opening = engine.sequences[asked].opening.tokens
    assert len(opening) == POSITIONS // 2 - 1 + 3
    assert opening[:2] == (endless.checkpoint.vocabulary.start_of_previous, 138)
    assert opening[-4] == 159
    assert len(opening) + len(tokens) == POSITIONS


def test_temperature_changes_its_own_row_alone(tiny: Twins) -> None:
    cold = windows(6)
    alone = written(recording(tiny.checkpoint), cold)
    hot = [Window(cold[0].samples, 0.0, Options("en", temperature=1.0)) for _ in range(6)]
    engine = recording(tiny.checkpoint, slots=12, encoder_batch=12)
    together = written(engine, [window for pair in zip(cold, hot, strict=True) for window in pair])
    assert together[::2] == alone
    assert len({tuple(tokens) for tokens in together[1::2]}) > 1


LIVE = [Options(language="en", prefix="", is_live=True)]
STREAMED = [replace(OPTIONS[1], is_streamed=True)]  # without times: no segment is closed


def test_a_dropped_window_frees_its_place_wherever_it_is(tiny: Twins) -> None:
    engine = recording(tiny.checkpoint, slots=3, encoder_batch=1, few_rows=1, encoder_spacing=99)
    first, second, stranger = windows(3)
    engine.step([first])
    engine.step([second])  # waits: the encoder is kept off
    assert engine.held() == 2
    assert engine.free() == 0
    for window in (stranger, second, first, first):
        engine.drop(window)
    assert engine.held() == 0
    assert engine.free() == 1
    assert engine.step([]) == []


def test_a_clip_is_transcribed_at_once_though_a_file_has_more_windows_to_encode(
    endless: Twins,
) -> None:
    engine = recording(endless.checkpoint, slots=8, encoder_batch=1, few_rows=4, encoder_spacing=4)
    caller, file = Caller(engine), windows(30, OPTIONS[:1])
    for _ in range(3):
        caller.step([file.pop()])
    clip = Window(noise(99, 0.5), 0.0)
    caller.step([clip])
    assert clip in caller.languages
    before = {each: len(each.tokens) for each in engine._sequences}
    caller.step([file.pop()])
    running = [each for each in before if each.status is SequenceStatus.DECODING]
    assert all(len(each.tokens) > before[each] for each in running)


@pytest.mark.parametrize(("asked", "behind"), [(STREAMED, 19), (OPTIONS[:1], 1)])
def test_a_streams_first_window_is_written_before_the_next_is_encoded(
    endless: Twins, monkeypatch: pytest.MonkeyPatch, asked: Sequence[Options], behind: int
) -> None:
    encoded: list[int] = []
    monkeypatch.setattr(encoder, "encode", lambda *given: encoded.append(1) or encode(*given))
    engine = recording(endless.checkpoint, limit=30, encoder_batch=1, launches=1, head_start=20)
    for _ in range(2):  # idle again after the first round
        first, second = windows(2, asked)
        encoded.clear()
        engine.step([first])
        for admitted in ([second], *[[]] * (behind - 1)):
            assert len(encoded) == 1
            engine.step(admitted)
        assert len(encoded) == 1 + (behind == 1)
        engine.step([])
        assert len(encoded) == 2
        Caller(engine).run([])
        assert {first, second} <= set(engine.sequences)


SIDE_BY_SIDE: dict[str, Any] = {
    "slots": 8, "encoder_batch": 2, "few_rows": 5, "launches": 1, "side_by_side": True
}  # fmt: skip


def test_windows_that_come_in_full_batches_are_encoded_before_any_is_decoded(
    endless: Twins,
) -> None:
    engine = recording(endless.checkpoint, limit=30, **SIDE_BY_SIDE)
    for count in (2, 4):
        engine.step(windows(2, OPTIONS[:1]))
        assert len(engine._sequences) == count
        assert all(not each.tokens for each in engine._sequences)
    engine.step(windows(2, OPTIONS[:1]))  # there are enough
    assert all(len(each.tokens) == 2 for each in engine._sequences)


@pytest.mark.parametrize("count", [1, 2])
def test_where_no_more_windows_come_the_next_step_decodes(endless: Twins, count: int) -> None:
    engine = recording(endless.checkpoint, limit=30, **SIDE_BY_SIDE)
    engine.step(windows(2, OPTIONS[:1]))
    engine.step(windows(count - 1, OPTIONS[:1]))
    assert [len(each.tokens) for each in engine._sequences] == [2] * (count + 1)


@pytest.mark.parametrize("options", [LIVE, STREAMED])
def test_who_waits_for_words_does_not_wait_for_the_windows_of_others(
    endless: Twins, options: Sequence[Options]
) -> None:
    engine = recording(endless.checkpoint, limit=30, **SIDE_BY_SIDE)
    quick = windows(1, options)
    engine.step([*quick, *windows(1, OPTIONS[:1])])
    [sequence] = engine._sequences
    assert [sequence.window] == quick, "it was encoded beside another window"
    written = len(sequence.tokens)
    assert written
    engine.step(windows(1, OPTIONS[:1]))
    assert len(sequence.tokens) > written


def test_behind_a_live_window_the_next_is_encoded_alone(endless: Twins) -> None:
    """A live session's next window waits for one encode at most then, not for two."""
    engine = recording(endless.checkpoint, limit=30, **SIDE_BY_SIDE)
    engine.step(windows(1, LIVE))
    for together in (1, 2):
        before = len(engine._sequences)
        engine.step(windows(2, OPTIONS[:1])[: engine.free()])
        assert len(engine._sequences) == before + together


def test_live_windows_that_wait_together_are_encoded_together(endless: Twins) -> None:
    engine = recording(endless.checkpoint, limit=30, **SIDE_BY_SIDE)
    engine.step(windows(2, LIVE))
    assert len(engine._sequences) == 2


@pytest.mark.parametrize("options", [OPTIONS[:1], LIVE])
def test_what_the_encoder_freed_is_given_back_once_it_rests(
    endless: Twins, monkeypatch: pytest.MonkeyPatch, options: Sequence[Options]
) -> None:
    trims: list[int] = []
    monkeypatch.setattr(engines, "trim_function", lambda: trims.append)
    engine = recording(endless.checkpoint, limit=30, encoder_batch=1, encoder_spacing=10)
    for times in (1, 2):
        asked = windows(3, options)
        while asked:
            engine.step([asked.pop()])
        assert len(trims) == times - 1
        Caller(engine).run([])
        assert len(trims) == times


def test_what_windows_side_by_side_freed_is_given_back_before_tokens_are_decoded(
    endless: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    trims: list[int] = []
    monkeypatch.setattr(engines, "trim_function", lambda: trims.append)
    engine = recording(endless.checkpoint, limit=30, **SIDE_BY_SIDE)
    for count in (0, 0, 1):  # more may come at first
        engine.step(windows(2, OPTIONS[:1]))
        assert len(trims) == count


def test_an_idle_engine_holds_no_keys_of_tokens_and_decodes_as_before(tiny: Twins) -> None:
    engine, asked = recording(tiny.checkpoint), windows(6)
    own = engine._batch._runner.cache.own
    first = written(engine, asked)
    assert not own.any()
    Caller(engine).step(windows(1))
    assert own.any()
    engine.drop(next(iter(engine._sequences)).window)
    assert engine.step([]) == []
    assert not own.any()
    assert written(engine, asked) == first


def test_while_no_slot_is_free_freed_memory_is_kept_for_the_next_window(
    endless: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    trims: list[int] = []
    monkeypatch.setattr(engines, "trim_function", lambda: trims.append)
    engine = recording(endless.checkpoint, limit=30, slots=2, encoder_batch=1, encoder_spacing=10)
    for window in windows(2, OPTIONS[:1]):
        engine.step([window])
    while len(engine._sequences) == 2:
        assert not trims
        engine.step([])


def test_only_the_first_window_of_a_file_has_a_head_start(endless: Twins) -> None:
    """The others are in flight together, also where their head start is longer than they are."""
    engine = recording(endless.checkpoint, limit=10, encoder_batch=1, launches=1, head_start=40)
    asked = windows(6, STREAMED)
    together = 0
    for _ in range(200):
        admitted = [asked.pop(0)] if asked and engine.free() else []
        engine.step(admitted)
        together = max(together, len(engine._sequences))
        if not asked and not engine.held():
            break
    assert together >= 3


def test_a_live_window_is_encoded_at_once_and_before_others_that_wait_for_the_encoder(
    endless: Twins,
) -> None:
    engine = recording(endless.checkpoint, slots=8, encoder_batch=1, few_rows=1, encoder_spacing=99)
    caller, [first, second, *_] = Caller(engine), windows(2, OPTIONS[:1])
    caller.step([first])
    caller.step([second])
    assert (engine.free(), engine.free(True)) == (0, 1)
    spoken = windows(3, LIVE)
    for window in spoken:
        assert engine.free(True) == 1
        assert not engine.step([window])
        assert window in {each.window for each in engine._sequences}
    assert second not in {each.window for each in engine._sequences}
    assert (engine.free(), engine.free(True)) == (0, 1)
    caller.run([])
    assert {first, second, *spoken} == set(caller.finals)


def test_live_windows_do_not_keep_others_off_the_encoder(endless: Twins) -> None:
    engine = recording(
        endless.checkpoint, slots=8, encoder_batch=1, launches=1, few_rows=1, encoder_spacing=6
    )
    first, second = windows(2, OPTIONS[:1])
    engine.step([first])
    engine.step([second])
    for window in windows(5, LIVE):
        assert second not in {each.window for each in engine._sequences}
        engine.step([window])
    assert engine.step([]) == []
    assert second in {each.window for each in engine._sequences}


def test_live_windows_wait_for_a_slot_as_all_do(endless: Twins) -> None:
    engine = recording(endless.checkpoint, slots=2, encoder_batch=2)
    engine.step(windows(2, LIVE))
    assert (engine.free(), engine.free(True)) == (0, 0)


def test_an_idle_engine_does_nothing(tiny: Twins) -> None:
    engine = recording(tiny.checkpoint)
    assert engine.step([]) == []
    assert (engine.held(), engine.free(), engine.capacity) == (0, 2, 4)


def test_warming_up_leaves_nothing_behind(tiny: Twins) -> None:
    engine = recording(tiny.checkpoint, slots=3)
    engine.warm_up()
    assert engine.held() == 0
    asked = windows(5)
    assert written(engine, asked) == written(recording(tiny.checkpoint), asked)
