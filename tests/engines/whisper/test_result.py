"""What the engine knows of its own text: segments, tokens, probabilities, languages, failures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from asr.engines.engine import Window, WindowResult
from asr.engines.whisper.decoding.attempt import Attempt
from asr.engines.whisper.decoding.tokens import segments, unwritten
from asr.errors import BadRequest, TranscriptionFailed
from asr.options import Options
from asr.pcm import SAMPLE_RATE
from tests.support.models import OPTIONS, TINY_ENGLISH, Caller, noise, recording, windows
from tests.support.twins import Twins

END = 50257


def finals(twins: Twins, asked: Sequence[Window]) -> list[WindowResult]:
    caller = Caller(recording(twins.checkpoint))
    caller.run(asked)
    return [caller.finals[window] for window in asked]


def test_the_segments_tokens_are_all_that_was_written_but_empty_times(tiny: Twins) -> None:
    asked = windows(24)
    engine = recording(tiny.checkpoint)
    caller = Caller(engine)
    caller.run(asked)
    first_timestamp = tiny.checkpoint.vocabulary.first_timestamp
    timed = 0
    for window in asked:
        of_segments = [t for s in caller.finals[window].segments for t in s.tokens]
        tokens = engine.sequences[window].tokens
        assert [t for t in of_segments if t < END] == [t for t in tokens if t < END]
        left = iter(tokens)
        assert all(token in left for token in of_segments), "not in order"
        for segment in caller.finals[window].segments:
            times = [t for t in segment.tokens if t >= first_timestamp]
            timed += len(times)
            assert len(times) <= 2
    assert timed > len(asked)


def test_a_segment_has_the_times_that_open_and_close_it(tiny: Twins) -> None:
    vocabulary, tokenizer = tiny.checkpoint.vocabulary, tiny.checkpoint.tokenizer
    zero = vocabulary.first_timestamp
    tokens = [zero, zero + 10, 5, 6, zero + 20, zero + 30, 7, zero + 40, zero + 40, 8, END, 9]
    found = segments(tokens, vocabulary, tokenizer, 1.0)
    assert [segment.tokens for segment in found] == [
        (zero + 10, 5, 6, zero + 20),
        (zero + 30, 7, zero + 40),
        (zero + 40, 8),
    ]
    assert [(s.start, s.end) for s in found] == [(0.2, 0.4), (0.6, 0.8), (0.8, 1.0)]


@pytest.mark.parametrize(
    ("times", "opened"),
    [
        ([0, "a", 20, 30], 0.6),  # a sentence that the window's end cuts off
        ([0, "a", 20, 20], 0.4),
        ([30], 0.6),  # nothing but such a sentence
        ([0], None),  # the way to write that nobody speaks
        ([0, "a", 20], None),
        ([0, "a", 20, 20, "b"], None),  # its end is missing, not its text
        (["a"], None),
        ([], None),
    ],
)
@pytest.mark.parametrize("end", [[END], []])
def test_a_time_behind_which_nothing_is_written_opens_a_segment(
    tiny: Twins, times: list[int | str], opened: float | None, end: list[int]
) -> None:
    zero = tiny.checkpoint.vocabulary.first_timestamp
    tokens = [5 if isinstance(time, str) else zero + time for time in times]
    assert unwritten([*tokens, *end], tiny.checkpoint.vocabulary) == opened


def test_pieces_come_where_they_are_asked_for_and_are_the_text(tiny: Twins) -> None:
    asked = windows(12, [Options("en", logprobs=True), Options("en"), Options("de", logprobs=True)])
    engine = recording(tiny.checkpoint)
    caller = Caller(engine)
    caller.run(asked)
    for window in asked:
        found = caller.finals[window].segments
        row = engine.sequences[window]
        of_segments = [piece for segment in found for piece in segment.token_logprobs]
        if not window.options.logprobs:
            assert not of_segments
            continue
        for segment in found:
            assert b"".join(piece.data for piece in segment.token_logprobs) == segment.text.encode()
        expected = [
            logprob for token, logprob in zip(row.tokens, row.logprobs, strict=True) if token < END
        ]
        assert [piece.logprob for piece in of_segments] == expected
    assert sum(len(s.token_logprobs) for w in asked for s in caller.finals[w].segments) > 20


def test_the_mean_counts_the_end_of_text_as_openai_whisper_does() -> None:
    assert Attempt([5, 6, END], [-1.0, -2.0, -3.0], 0.0, 0.0).avg_logprob(END) == -2.0
    assert Attempt([5, 6], [-1.0, -2.0], 0.0, 0.0).avg_logprob(END) == -1.0


def language_probabilities(twins: Twins, window: Window) -> dict[str, float]:
    """Each language's probability, as Transformers' model has it."""
    features = twins.extractor(window.samples, sampling_rate=SAMPLE_RATE, return_tensors="pt")
    vocabulary = twins.checkpoint.vocabulary
    opening = torch.tensor([[vocabulary.start_of_transcript]])
    with torch.inference_mode():
        logits = twins.model(features.input_features, decoder_input_ids=opening).logits[0, 0]
    numbers = list(vocabulary.languages.values())
    return dict(zip(vocabulary.languages, logits[numbers].softmax(dim=0).tolist(), strict=True))


def test_the_languages_probabilities_are_those_of_the_model_and_come_ahead_of_the_text(
    endless: Twins,
) -> None:
    asked = windows(6, [Options(), Options(language="de"), Options(prompt="77")])
    caller = Caller(recording(endless.checkpoint))
    caller.run(asked)
    for window in asked:
        final = caller.finals[window]
        if window.options.language:
            assert final.probabilities == {}
            continue
        expected = language_probabilities(endless, window)
        assert final.probabilities == pytest.approx(expected, abs=1e-5)
        assert final.language == max(expected, key=expected.__getitem__)
        assert caller.languages[window].probabilities == final.probabilities


def test_only_the_languages_that_are_allowed_are_detected(tiny: Twins) -> None:
    window = Window(noise(3), 0.0)
    everything = language_probabilities(tiny, window)
    ranked = sorted(everything, key=everything.__getitem__)
    allowed = (ranked[0], ranked[40])
    asked = [
        window,
        replace(window, options=Options(languages=allowed)),
        replace(window, options=Options(language="uk", languages=allowed)),
        replace(window, options=Options(languages=(ranked[0],))),
    ]
    free, among, given, only = finals(tiny, asked)
    assert free.language == ranked[-1]
    assert among.language == ranked[40]
    share = everything[ranked[40]] / (everything[ranked[0]] + everything[ranked[40]])
    assert among.probabilities == pytest.approx({ranked[0]: 1 - share, ranked[40]: share}, abs=1e-4)
    assert (given.language, given.probabilities) == ("uk", {})
    assert only.probabilities == {ranked[0]: 1.0}
    [unknown] = finals(tiny, [replace(window, options=Options(languages=("xx",)))])
    assert "'xx'" in str(unknown.error)


def test_a_model_of_one_language_detects_it_for_certain() -> None:
    caller = Caller(recording(Twins.of(TINY_ENGLISH, ends=False).checkpoint))
    window = Window(noise(0), 0.0)
    caller.run([window])
    for result in (caller.languages[window], caller.finals[window]):
        assert (result.language, result.probabilities) == ("en", {"en": 1.0})


@pytest.mark.both_forms
def test_the_answer_is_the_tokens_segments(tiny: Twins) -> None:
    asked = windows(8)
    engine = recording(tiny.checkpoint)
    caller = Caller(engine)
    caller.run(asked)
    parts = tiny.checkpoint
    for window in asked:
        result = caller.finals[window]
        tokens = engine.sequences[window].tokens
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


@pytest.mark.both_forms
def test_the_language_is_the_one_that_transformers_detects(twins: Twins) -> None:
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


@pytest.mark.both_forms
def test_the_language_comes_ahead_of_the_text_where_it_had_to_be_detected(
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


@pytest.mark.both_forms
@pytest.mark.parametrize("options", [Options(), Options(language="en", prompt="8 9")])
def test_silence_and_likelihood_are_those_of_generate(tiny: Twins, options: Options) -> None:
    window = Window(noise(5), 0.0, options)
    engine = recording(tiny.checkpoint)
    caller = Caller(engine)
    caller.run([window])
    row = engine.sequences[window]
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
    assert row.no_speech_prob == pytest.approx(float(no_speech), rel=1e-3)
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
    logprobs = [
        float(scores[0].log_softmax(dim=0)[token])
        for scores, token in zip(answer.scores, tokens, strict=True)
    ]
    assert row.logprobs == pytest.approx(logprobs, abs=1e-3)
    spoken = len(tokens) - (tokens[-1] == tiny.checkpoint.vocabulary.end_of_text)
    for segment in caller.finals[window].segments:
        assert segment.avg_logprob == pytest.approx(sum(logprobs) / (spoken + 1), abs=1e-3)
        assert segment.no_speech_prob == row.no_speech_prob
        assert segment.temperature == 0.0


@pytest.mark.both_forms
def test_a_window_that_cannot_be_transcribed_fails_alone(tiny: Twins) -> None:
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


@pytest.mark.both_forms
def test_numbers_that_overflow_end_their_own_window(tiny: Twins) -> None:
    engine = recording(tiny.checkpoint)
    caller, asked = Caller(engine), windows(2, OPTIONS[:1])
    caller.step(asked)
    engine._batch._runner.cache.cross.of(1).fill_(torch.nan)
    caller.run([])
    assert caller.finals[asked[0]].error is None
    assert "overflowed in float32" in str(caller.finals[asked[1]].error)
    assert len(engine.sequences[asked[1]].tokens) <= 6, "it goes on writing though all is lost"
    assert engine.free() == 2
