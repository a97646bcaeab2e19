"""The encoder through OpenVINO computes what torch's does, and everything works without it."""

from __future__ import annotations

import copy
import dataclasses
import gc
import sys
import weakref
from typing import Any

import pytest
import torch

from asr import whisper
from asr.audio import SAMPLE_RATE
from asr.config import Config, ConfigError
from asr.whisper import checkpoint as checkpoints
from asr.whisper.weights import take

from .conftest import Twins
from .models import OPTIONS, noise, recording, windows, written

CPU = torch.device("cpu")


class Stored(dict[str, torch.Tensor]):
    """May be referred to weakly, which a bare dict may not."""


@pytest.fixture
def openvino() -> Any:
    pytest.importorskip("openvino", reason="openvino is not installed")
    from asr.whisper import openvino

    return openvino


def extracted(twins: Twins) -> torch.Tensor:
    """Features of three windows, as Transformers makes them."""
    found = [noise(seed, 1 + seed / 4) for seed in range(3)]
    return twins.extractor(found, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features


@torch.inference_mode()
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
def test_its_output_is_that_of_transformers(
    openvino: Any, twins: Twins, dtype: torch.dtype, rounding: float
) -> None:
    tensors = {name: tensor.to(dtype) for name, tensor in twins.model.state_dict().items()}
    encode = openvino.compiled(tensors, twins.model.config, threads=1)
    del tensors  # what it needs of them it keeps
    features = extracted(twins)
    expected = twins.model.get_encoder()(features).last_hidden_state
    found = encode(features)
    assert found.dtype == dtype
    assert (found.float() - expected).norm() <= rounding * expected.norm()


def test_the_file_that_the_weights_were_read_from_is_let_go(openvino: Any, tiny: Twins) -> None:
    stored = Stored(tiny.model.state_dict())
    reference = weakref.ref(stored)
    encode = openvino.compiled(stored, tiny.model.config, threads=1)
    del stored
    gc.collect()
    assert reference() is None
    assert encode(extracted(tiny)).isfinite().all()


def test_every_token_is_the_one_that_generate_writes(openvino: Any, twins: Twins) -> None:
    stored, config = copy.deepcopy(twins.model).state_dict(), twins.model.config
    loaded = dataclasses.replace(
        twins.checkpoint,
        weights=take(stored, config, holds_encoder=False),
        outside=openvino.compiled(stored, config, threads=1),
    )
    assert not loaded.weights.encoder.layers
    asked = windows(2 * len(OPTIONS))
    for window, tokens in zip(asked, written(recording(loaded), asked), strict=True):
        assert tokens == twins.reference(window.samples, window.options), window.options


def test_where_it_cannot_run_torch_does(
    openvino: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(openvino, "compiled", refuse)
    loaded = checkpoints.read(Config(model_id="demo", openvino="1"), CPU, torch.float32)
    assert loaded.outside is None
    assert loaded.weights.encoder.layers
    assert "no such instruction" in caplog.text


@pytest.mark.usefixtures("openvino")
@pytest.mark.parametrize("setting", ["auto", "0", "1"])
def test_the_setting_decides(setting: str) -> None:
    loaded = checkpoints.read(Config(model_id="demo", openvino=setting), CPU, torch.float32)
    assert (loaded.outside is not None) == (setting != "0")
    assert bool(loaded.weights.encoder.layers) == (setting == "0")


def test_where_it_is_not_installed_only_who_asks_for_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "asr.whisper.openvino", raising=False)
    monkeypatch.delattr(whisper, "openvino", raising=False)
    monkeypatch.setitem(sys.modules, "openvino", None)  # cannot be imported
    loaded = checkpoints.read(Config(model_id="demo"), CPU, torch.float32)
    assert loaded.outside is None
    with pytest.raises(ConfigError, match="OPENVINO='1'"):
        checkpoints.read(Config(model_id="demo", openvino="1"), CPU, torch.float32)
