"""A checkpoint is read as Transformers reads it, in whatever files it lies."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import WhisperForConditionalGeneration

from asr.config.config import DEMO_MODEL, Config
from asr.engines.whisper import checkpoint

CPU = torch.device("cpu")


def stored(model: WhisperForConditionalGeneration) -> dict[str, torch.Tensor]:
    """What a file of a checkpoint holds: tied weights once."""
    found = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    del found["proj_out.weight"]
    return found


def test_quantized_weights_are_not_for_this_engine(tmp_path: Path) -> None:
    settings = json.loads((DEMO_MODEL / "config.json").read_text())
    settings["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    assert not checkpoint.is_whisper(Config(model_id=str(tmp_path)))


def test_the_embedded_model_is_one_for_this_engine() -> None:
    assert checkpoint.is_whisper(Config(model_id="demo"))
