"""What the engine tells of a window beside its tokens: segments, language, likelihood, failure."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from asr.engines.engine import Window
from asr.engines.whisper.decoding.tokens import segments
from asr.errors import BadRequest, TranscriptionFailed
from asr.options import Options
from asr.pcm import SAMPLE_RATE
from tests.support.models import OPTIONS, Caller, noise, recording, windows
from tests.support.twins import Twins


@pytest.mark.both_forms
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


@pytest.mark.both_forms
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


@pytest.mark.both_forms
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


@pytest.mark.both_forms
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


@pytest.mark.both_forms
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


@pytest.mark.both_forms
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
