"""Which engine runs which model."""

import logging
import os

import pytest

from asr import engine
from asr.config import Config, ConfigError


def demo(**settings):
    return engine.load(Config(model_id="demo", device="cpu", **settings))


@pytest.mark.parametrize(
    ("asked", "runs"), [("auto", "whisper"), ("whisper", "whisper"), ("pipeline", "pipeline")]
)
def test_a_whisper_model_runs_on_the_engine_asked_for(asked, runs):
    assert demo(engine=asked).info.engine == runs


def test_any_other_model_runs_through_the_pipeline(ctc_model):
    config = Config(model_id=str(ctc_model), device="cpu")
    assert engine.load(config).info.engine == "pipeline"


def test_a_model_that_is_no_whisper_cannot_be_asked_to_be_one(ctc_model):
    config = Config(model_id=str(ctc_model), device="cpu", engine="whisper")
    with pytest.raises(ConfigError, match="is no Whisper model"):
        engine.load(config)


def test_flash_attention_is_said_to_be_the_pipelines(caplog):
    with caplog.at_level(logging.INFO):
        demo(flash_attention_2=True)
    assert "ENGINE=pipeline" in caplog.text


def test_torch_compiles_no_kernels_by_itself(monkeypatch):
    monkeypatch.delenv("TORCH_DISABLE_NATIVE_JIT", raising=False)
    demo()
    assert os.environ["TORCH_DISABLE_NATIVE_JIT"] == "1"
