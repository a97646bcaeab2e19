"""Transformers models of every kind, small and with random weights, and the demo model."""

import math
from dataclasses import replace

import pytest
import soundfile
import torch
from huggingface_hub import hf_hub_download

from asr.capabilities import EngineInfo
from asr.config.config import Config
from asr.engines import load as engines
from asr.engines.engine import Window, WindowResult
from asr.engines.hardware import Machine, choose
from asr.engines.pipeline import engine
from asr.engines.pipeline.engine import PipelineEngine
from asr.options import Options
from asr.transcript import LanguageDetection, Segment
from tests.conftest import RATE, tone


def load(path, **settings):
    config = Config(model_id=str(path), device="cpu", **settings)
    return engine.load(config, choose(config, Machine.probe("cpu")))


def window(seconds=1.0, **options):
    return Window(tone(seconds), 0.0, Options(**options))


def test_a_ctc_model_gives_text_with_timed_words(ctc_model):
    loaded = load(ctc_model)
    assert loaded.info.has_words
    assert loaded.info.languages == {}
    [first, second] = loaded.step([window(3.0), window(0.01)])
    for result in (first, second):
        assert result.error is None
        for segment in result.segments:
            assert segment.text == "".join(word.text for word in segment.words)
            times = [t for word in segment.words for t in (word.start, word.end)]
            assert times == sorted(times)
            assert segment.end <= result.window.seconds
    assert first.segments


def test_a_moonshine_model_gives_text(moonshine_model):
    loaded = load(moonshine_model, max_new_tokens=5)
    assert not loaded.info.has_segments
    [result] = loaded.step([window(2.0)])
    assert result.error is None
    assert [segment.end for segment in result.segments] == [2.0] * len(result.segments)


@pytest.mark.parametrize(
    ("server", "asked", "limit"), [(9, None, 9), (9, 3, 3), (3, 9, 3), (None, 3, 3)]
)
def test_the_lesser_of_the_servers_and_the_windows_limit_of_tokens_holds(
    moonshine_model, monkeypatch, server, asked, limit
):
    loaded = load(moonshine_model, max_new_tokens=server)
    model = loaded._model._pipeline.model
    generate, limits = model.generate, []

    def noting(*inputs, **named):
        limits.append(named["max_new_tokens"])
        return generate(*inputs, **named)

    monkeypatch.setattr(model, "generate", noting)
    [result] = loaded.step([window(2.0, max_new_tokens=asked)])
    assert result.error is None
    assert limits == [limit]


class CountingModel:
    """Transcribes at most `room` windows at once, as a small GPU does."""

    info = EngineInfo("count", "pipeline", "none", "none")

    def __init__(self, room=math.inf, failure=None):
        self.room, self.failure, self.batches = room, failure, []

    def detect(self, windows):
        return [LanguageDetection("en", {"en": 0.75, "es": 0.25})] * len(windows)

    def transcribe(self, windows, options):
        if len(windows) > self.room:
            raise torch.OutOfMemoryError
        self.batches.append((len(windows), options))
        if self.failure:
            raise self.failure
        return [WindowResult(w, (Segment(0.0, w.seconds, " x"),)) for w in windows]


def test_out_of_memory_halves_the_batch_and_loses_nothing():
    model = CountingModel(room=3)
    small = PipelineEngine(model, 16)
    windows = [window() for _ in range(10)]
    results = small.step(windows)
    assert [r.window for r in results] == windows
    assert all(r.segments and r.error is None for r in results)
    assert max(count for count, _ in model.batches) <= 3
    assert small.free() == 2


def test_a_window_too_large_for_the_memory_fails_alone():
    results = PipelineEngine(CountingModel(room=0), 4).step([window(), window()])
    assert all(isinstance(r.error, torch.OutOfMemoryError) for r in results)


def test_windows_with_other_options_are_transcribed_apart():
    model = CountingModel()
    windows = [window(), window(task="translate"), window(), window(language="es")]
    results = PipelineEngine(model, 16).step(windows)
    assert {id(r.window) for r in results} == {id(w) for w in windows}
    assert sorted(count for count, _ in model.batches) == [1, 1, 2]
    assert {options.language for _, options in model.batches} == {"en", "es"}
    for result in results:
        asked = result.window.options.language
        assert result.language == asked or (asked is None and result.language == "en")
        assert result.probabilities == ({} if asked else {"en": 0.75, "es": 0.25})


def test_a_models_failure_is_the_windows_and_a_gpus_failure_is_the_engines():
    [result] = PipelineEngine(CountingModel(failure=ValueError("odd")), 4).step([window()])
    assert isinstance(result.error, ValueError)
    broken = PipelineEngine(CountingModel(failure=RuntimeError("CUDA error: gone")), 4)
    with pytest.raises(RuntimeError, match="CUDA"):
        broken.step([window()])


def test_where_no_language_can_be_detected_only_those_windows_fail_that_name_none():
    class Undetecting(CountingModel):
        def detect(self, _):
            raise self.failure if len(self.batches) else ValueError("odd")

    asked = [window(), window(language="es"), window()]
    model = Undetecting()
    results = {id(r.window): r for r in PipelineEngine(model, 4).step(asked)}
    assert [type(results[id(w)].error) for w in asked] == [ValueError, type(None), ValueError]
    model.failure = torch.AcceleratorError("CUDA error: gone")
    with pytest.raises(torch.AcceleratorError, match="gone"):
        PipelineEngine(model, 4).step(asked)


@pytest.mark.hub
@pytest.mark.parametrize("model_id", ["openai/whisper-tiny", "facebook/wav2vec2-base-960h"])
def test_a_model_of_a_hub_transcribes_a_phrase(model_id, tmp_path):
    sample = hf_hub_download("Narsil/asr_dummy", "mlk.flac", repo_type="dataset")
    samples, rate = soundfile.read(sample, dtype="float32")
    assert rate == RATE
    loaded = engines.load(Config(model_id=model_id, cache_dir=str(tmp_path)))
    [result] = loaded.step([replace(window(), samples=samples)])
    assert result.error is None
    text = "".join(segment.text for segment in result.segments).lower()
    assert "dream that one day this nation will rise up" in text
