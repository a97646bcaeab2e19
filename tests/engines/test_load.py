"""Which engine runs which model."""

import logging
import os

import pytest
import torch

from asr.config.config import Config
from asr.engines import load
from asr.engines.whisper import load as whisper
from asr.errors import ConfigError


def demo(**settings):
    return load.load(
        Config(**{"model_id": "demo", "device": "cpu", "dtype": "float32", **settings})
    )


@pytest.mark.parametrize(
    ("asked", "runs"), [("auto", "whisper"), ("whisper", "whisper"), ("pipeline", "pipeline")]
)
def test_a_whisper_model_runs_on_the_engine_asked_for(asked, runs):
    assert demo(engine=asked).info.engine == runs


def test_the_dtype_of_a_cpu_is_measured_and_kept(tmp_path):
    first = demo(dtype="auto", cache_dir=str(tmp_path)).info.hardware
    assert "; float32 (measured on one core: " in first  # whatever is faster: it is the demo
    [path] = tmp_path.glob("dtypes/*.json")
    kept = path.read_bytes()
    assert demo(dtype="auto", cache_dir=str(tmp_path)).info.hardware == first
    assert path.read_bytes() == kept


def test_any_other_model_runs_through_the_pipeline(ctc_model):
    config = Config(model_id=str(ctc_model), device="cpu")
    assert load.load(config).info.engine == "pipeline"


def test_a_model_that_is_no_whisper_cannot_be_asked_to_be_one(ctc_model):
    config = Config(model_id=str(ctc_model), device="cpu", engine="whisper")
    with pytest.raises(ConfigError, match="is not a Whisper model; use auto or pipeline"):
        load.load(config)


def test_flash_attention_is_said_to_be_the_pipelines(caplog):
    with caplog.at_level(logging.INFO):
        demo(flash_attention_2=True)
    assert "ENGINE=pipeline" in caplog.text


def test_memory_that_loading_has_freed_is_given_back_once_the_weights_are_there(monkeypatch):
    done: list[object] = []
    monkeypatch.setattr(whisper, "trim_function", lambda: lambda size: done.append(size))
    planned = whisper.plan

    def plan(weights):
        done.append("planned")
        return planned(weights)

    monkeypatch.setattr(whisper, "plan", plan)
    demo()
    assert done == [0, "planned"]


def test_torch_compiles_no_kernels_by_itself(monkeypatch):
    monkeypatch.delenv("TORCH_DISABLE_NATIVE_JIT", raising=False)
    demo()
    assert os.environ["TORCH_DISABLE_NATIVE_JIT"] == "1"


def too_large(*_):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore of it")


@pytest.mark.parametrize(
    ("refused", "kind", "message"),
    [
        (
            "asr.engines.whisper.checkpoint.take",
            "whisper",
            "memory than is free: CUDA out of memory",
        ),
        (
            "asr.engines.whisper.model.kv_cache.KVCache.allocate",
            "whisper",
            "memory than is free: CUDA out of memory",
        ),
        (
            "asr.engines.whisper.encoding.encoder.encode",
            "whisper",
            "cannot transcribe a test window: out of memory with a single window",
        ),
        (
            "asr.engines.pipeline.whisper.WhisperModel.detect",
            "pipeline",
            "memory than is free: CUDA out of",
        ),
    ],
)
def test_a_model_that_does_not_fit_ends_the_start_in_plain_words(
    monkeypatch, refused, kind, message
):
    demo(engine=kind)  # imported by then
    monkeypatch.setattr(refused, too_large)
    with pytest.raises(ConfigError, match=f"MODEL_ID='demo'.*{message}"):
        demo(engine=kind)


def test_any_other_failure_of_a_start_is_reported_as_it_is(monkeypatch):
    def broken(*_):
        raise RuntimeError("CUDA error: no kernel image is available")

    monkeypatch.setattr("asr.engines.whisper.encoding.encoder.encode", broken)
    with pytest.raises(RuntimeError, match="no kernel image"):
        demo()
