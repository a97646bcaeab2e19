"""The engine writes what `generate` writes, whatever else is in flight."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from asr.audio import SAMPLE_RATE
from asr.errors import BadRequest, TranscriptionFailed
from asr.transcript import Options
from asr.whisper import engine as engines
from asr.whisper.model import encode
from asr.whisper.tokens import segments
from asr.windows import Window

from .conftest import Twins
from .models import OPTIONS, POSITIONS, Caller, noise, recording, windows, written


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


def test_the_answer_is_the_tokens_segments(tiny: Twins) -> None:
    asked = windows(8)
    engine = recording(tiny.checkpoint)
    caller = Caller(engine)
    caller.run(asked)
    parts = tiny.checkpoint
    for window in asked:
        result = caller.finals[window]
        tokens = engine.rows[window].tokens
        expected = segments(tokens, parts.vocabulary, parts.tokenizer, window.seconds)
        assert [(s.start, s.end, s.text, s.tokens) for s in result.segments] == [
            (s.start, s.end, s.text, s.tokens) for s in expected
        ]
        assert result.error is None
        assert window.options.language in {None, result.language}
    assert any(caller.finals[window].segments for window in asked)


def extracted(twins: Twins, window: Window) -> torch.Tensor:
    """Features, [1, mels, frames], as Transformers makes them."""
    found = twins.extractor(window.samples, sampling_rate=SAMPLE_RATE, return_tensors="pt")
    return found.input_features


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
        in_flight = [window for window in asked if window in engine._windows.values()]
        if len(in_flight) > 3 and len(left) < 8:
            left.append(in_flight[1])
            engine.drop(in_flight[1])
    assert engine.held() == 0
    assert len(left) >= 5
    assert set(caller.finals) == set(asked) - set(left)
    for window in caller.finals:
        assert engine.rows[window].tokens == alone[window]


def test_a_thousand_windows_come_and_go_and_no_slot_is_lost(
    tiny: Twins, alone: dict[Window, list[int]]
) -> None:
    chance = np.random.default_rng(0)
    asked = list(alone)
    engine = recording(tiny.checkpoint, slots=7, encoder_batch=3, few_rows=5, encoder_spacing=6)
    caller, origin, dropped, broken = Caller(engine), {}, set(), set()
    for _ in range(1000):
        template = asked[chance.integers(len(asked))]
        window = Window(template.samples, 0.0, template.options)
        if chance.random() < 0.1:
            window = Window(np.full(100, np.nan, np.float32), 0.0)
            broken.add(window)
        origin[window] = template
        while not engine.free():
            caller.step([])
        caller.step([window])
        if chance.random() < 0.2:
            leaving = list(origin)[-chance.integers(1, 6) :][0]
            if leaving not in caller.finals:
                engine.drop(leaving)
                dropped.add(leaving)
    caller.run([])
    assert engine.held() == 0
    assert engine._flight.free == 7
    assert engine.free() == 3
    assert set(caller.finals) == set(origin) - dropped
    assert len(dropped) > 50
    assert len(broken - dropped) > 50
    for window, result in caller.finals.items():
        assert (result.error is not None) == (window in broken)
        if window not in broken:
            assert engine.rows[window].tokens == alone[origin[window]]


@pytest.mark.parametrize("options", OPTIONS[:4])
def test_a_model_that_never_ends_stops_at_its_places(endless: Twins, options: Options) -> None:
    asked = [Window(noise(seed), 0.0, options) for seed in range(3)]
    engine = recording(endless.checkpoint)
    for tokens, window in zip(written(engine, asked), asked, strict=True):
        opening = engine.rows[window].opening.tokens
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
    opening = engine.rows[asked].opening.tokens
    assert len(opening) == POSITIONS // 2 - 1 + 3
    assert opening[:2] == (endless.checkpoint.vocabulary.start_of_previous, 138)
    assert opening[-4] == 159
    assert len(opening) + len(tokens) == POSITIONS


def test_the_language_is_the_one_that_transformers_hears(twins: Twins) -> None:
    asked = windows(12, [Options(), Options(language="de"), Options(prompt="77")])
    caller = Caller(recording(twins.checkpoint))
    caller.run(asked)
    codes = {number: code for code, number in twins.checkpoint.vocabulary.languages.items()}
    for window in asked:
        expected = window.options.language or "en"
        if codes and window.options.language is None:
            features = extracted(twins, window)
            expected = codes[int(twins.model.detect_language(features)[0])]
        assert caller.finals[window].language == expected


def test_the_language_is_told_ahead_of_the_text_where_it_had_to_be_detected(
    endless: Twins,
) -> None:
    asked = windows(6, [Options(), Options(language="de"), Options(prompt="77")])
    caller = Caller(recording(endless.checkpoint))
    caller.run(asked)
    unknown = [window for window in asked if window.options.language is None]
    assert list(caller.languages) == unknown
    for window, early in caller.languages.items():
        assert early.language == caller.finals[window].language
        assert early.segments == ()


@pytest.mark.parametrize("options", [Options(), Options(language="en", prompt="8 9")])
def test_silence_and_likelihood_are_those_of_generate(tiny: Twins, options: Options) -> None:
    window = Window(noise(5), 0.0, options)
    engine = recording(tiny.checkpoint)
    caller = Caller(engine)
    caller.run([window])
    row = engine.rows[window]
    tokens = row.tokens
    opening = [
        tiny.checkpoint.vocabulary.languages["en"] if token < 0 else token
        for token in row.opening.tokens
    ]
    features = extracted(tiny, window)
    with torch.inference_mode():
        logits = tiny.model(features, decoder_input_ids=torch.tensor([opening])).logits[0]
    start = opening.index(tiny.checkpoint.vocabulary.start_of_transcript)
    no_speech = logits[start].softmax(dim=0)[tiny.checkpoint.vocabulary.no_speech]
    assert row.silence == pytest.approx(float(no_speech), rel=1e-3)
    config = tiny.model.generation_config
    prompt = None if not options.prompt else torch.tensor([config.prev_sot_token_id, 8, 9])
    answer = tiny.model.generate(
        features,
        language=options.language,
        task="transcribe",
        return_timestamps=True,
        prompt_ids=prompt,
        num_beams=1,
        do_sample=False,
        force_unique_generate_call=True,
        return_dict_in_generate=True,
        output_scores=True,
    )
    likelihoods = [
        float(scores[0].log_softmax(dim=0)[token])
        for scores, token in zip(answer.scores, tokens, strict=True)
    ]
    assert row.likelihoods == pytest.approx(likelihoods, abs=1e-3)
    spoken = len(tokens) - (tokens[-1] == tiny.checkpoint.vocabulary.end_of_text)
    for segment in caller.finals[window].segments:
        assert segment.avg_logprob == pytest.approx(sum(likelihoods) / (spoken + 1), abs=1e-3)
        assert segment.no_speech_prob == row.silence
        assert segment.temperature == 0.0


def test_temperature_changes_its_own_row_alone(tiny: Twins) -> None:
    cold = windows(6)
    alone = written(recording(tiny.checkpoint), cold)
    hot = [Window(cold[0].samples, 0.0, Options("en", temperature=1.0)) for _ in range(6)]
    engine = recording(tiny.checkpoint, slots=12, encoder_batch=12)
    together = written(engine, [window for pair in zip(cold, hot, strict=True) for window in pair])
    assert together[::2] == alone
    assert len({tuple(tokens) for tokens in together[1::2]}) > 1


def test_a_window_that_cannot_be_heard_fails_alone(tiny: Twins) -> None:
    good = windows(4)
    bad = {
        Window(np.array([0.0, np.inf], np.float32), 0.0): TranscriptionFailed,
        Window(noise(0, 2.1), 0.0): TranscriptionFailed,
        Window(noise(0), 0.0, Options(language="xx")): BadRequest,
    }
    caller = Caller(recording(tiny.checkpoint))
    caller.run([*good[:2], *bad, *good[2:]])
    assert all(caller.finals[window].error is None for window in good)
    for window, kind in bad.items():
        assert isinstance(caller.finals[window].error, kind)


def test_numbers_that_overflow_end_their_own_window(tiny: Twins) -> None:
    engine = recording(tiny.checkpoint)
    caller, asked = Caller(engine), windows(2, OPTIONS[:1])
    caller.step(asked)
    engine._flight._machine.slots.cross.of(1).fill_(torch.nan)
    caller.run([])
    assert caller.finals[asked[0]].error is None
    assert "overflowed in float32" in str(caller.finals[asked[1]].error)
    assert len(engine.rows[asked[1]].tokens) <= 6, "it goes on writing though all is lost"
    assert engine.free() == 2


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


def test_a_clip_is_heard_at_once_though_a_file_has_more_windows_to_encode(endless: Twins) -> None:
    engine = recording(endless.checkpoint, slots=8, encoder_batch=1, few_rows=4, encoder_spacing=4)
    caller, file = Caller(engine), windows(30, OPTIONS[:1])
    for _ in range(3):
        caller.step([file.pop()])
    clip = Window(noise(99, 0.5), 0.0)
    caller.step([clip])
    assert clip in caller.languages
    before = {row: len(row.tokens) for row in engine._windows}
    caller.step([file.pop()])
    assert all(len(row.tokens) > before[row] for row in before if not row.is_done)


def test_the_first_window_after_idleness_is_written_before_the_next_is_encoded(
    endless: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    monkeypatch.setattr(engines, "encode", lambda *given: encoded.append(1) or encode(*given))
    engine = recording(endless.checkpoint, limit=30, encoder_batch=1, launches=1, head_start=20)
    for _ in range(2):  # idle again after the first round
        first, second = windows(2, OPTIONS[:1])
        encoded.clear()
        engine.step([first])
        engine.step([second])
        for _ in range(18):
            engine.step([])
        assert len(encoded) == 1
        engine.step([])
        assert len(encoded) == 2
        Caller(engine).run([])
        assert {first, second} <= set(engine.rows)


def test_only_the_first_window_of_a_file_has_a_head_start(endless: Twins) -> None:
    """The others are in flight together, also where their head start is longer than they are."""
    engine = recording(endless.checkpoint, limit=10, encoder_batch=1, launches=1, head_start=40)
    asked = windows(6, OPTIONS[:1])
    together = 0
    for _ in range(200):
        admitted = [asked.pop(0)] if asked and engine.free() else []
        engine.step(admitted)
        together = max(together, len(engine._windows))
        if not asked and not engine.held():
            break
    assert together >= 3


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
