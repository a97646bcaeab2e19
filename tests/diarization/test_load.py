"""Which diarizer is loaded."""

import pytest

from asr.config.config import Config
from asr.diarization import builtin, pyannote
from asr.diarization.load import load
from asr.errors import ConfigError


def test_the_built_in_one_is_loaded_offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert load(Config(device="cpu")).name == "builtin"


def test_there_is_none_where_it_is_off():
    with pytest.raises(ConfigError, match="DIARIZER='off'"):
        load(Config(diarizer="off"))


def test_the_pipeline_of_pyannote_is_loaded_where_it_is_asked_for(monkeypatch):
    opened = object()
    monkeypatch.setattr(pyannote, "open_pipeline", lambda config: (config.diarizer, opened))
    assert load(Config(diarizer="pyannote")) == ("pyannote", opened)


def test_weights_that_are_missing_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(builtin, "WEIGHTS", tmp_path)
    with pytest.raises(ConfigError, match=r"DIARIZER='builtin' lacks its weights: .*segmentation"):
        load(Config(device="cpu"))
