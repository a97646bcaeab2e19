"""A real model says the same in every layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import torch

from asr.config.config import DEMO_MODEL, Config
from asr.engines.engine import Window
from asr.engines.hub import locate
from asr.engines.load import load
from asr.engines.whisper.layouts.describe import describe
from asr.engines.whisper.shapes import shapes
from asr.options import Options
from tests.conftest import RATE
from tests.support.layouts import (
    Model,
    write_ctranslate2,
    write_ggml,
    write_openai,
    write_tiktoken,
)

pytestmark = pytest.mark.real

SPEECH = DEMO_MODEL.parent / "samples" / "en-long.flac"
LAYOUTS: dict[str, Callable[[Path, Model], Path]] = {
    "CTranslate2": lambda place, model: write_ctranslate2(place, model, "float16"),
    "ggml": lambda place, model: write_ggml(place / "ggml.bin", model, "f16"),
    "openai/whisper": lambda place, model: write_openai(place / "a.pt", model, torch.float16),
}


@pytest.fixture(scope="module")
def model(whisper_checkpoint: str) -> Model:
    config = Config(model_id=whisper_checkpoint)
    said = describe(config, locate(config))
    tensors = said.open_weights(torch.device("cpu"), torch.float16)
    numbers = range(said.generation.no_timestamps_token_id + 1)
    tokens = [str(said.tokenizer.convert_ids_to_tokens(number)) for number in numbers]
    held = {name: tensors[name] for name, _ in shapes(said.settings)}
    return Model(held, said.settings, tokens, said.generation)


@pytest.fixture(scope="module")
def expected(whisper_checkpoint: str) -> str:
    return heard(whisper_checkpoint)


def heard(model: str) -> str:
    engine = load(Config(model_id=model, device="cpu", dtype="float32"))
    samples, _ = soundfile.read(SPEECH, dtype="float32")
    options = Options(language="en", timestamps="segment")
    results = engine.step([Window(samples[: 30 * RATE], start=0.0, options=options)])
    while engine.held():
        results += engine.step([])
    [final] = [result for result in results if result.is_final]
    return "".join(str(segment) for segment in final.segments)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_real_model_writes_the_same_words_in_every_layout(
    layout: str, model: Model, expected: str, tmp_path: Path
) -> None:
    write_tiktoken(tmp_path / "tokens.tiktoken", model)
    assert heard(str(LAYOUTS[layout](tmp_path, model))) == expected
