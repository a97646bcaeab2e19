"""A model is the same in every layout: its weights, its tokens and its text."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import torch

from asr.config.config import DEMO_MODEL, Config
from asr.engines.engine import Engine, Window
from asr.engines.hub import locate
from asr.engines.load import load
from asr.engines.whisper.layouts.describe import describe
from asr.engines.whisper.layouts.description import Description
from asr.engines.whisper.model.alignment import heads_of
from asr.engines.whisper.shapes import shapes
from tests.support import models
from tests.support.layouts import (
    Model,
    write_ctranslate2,
    write_ggml,
    write_openai,
    write_tiktoken,
)

CPU = torch.device("cpu")
SAMPLES = DEMO_MODEL.parent / "samples"

Write = Callable[[Path, Model], Path]  # into a directory; returns what MODEL_ID is to be


def ctranslate2(kind: str) -> Write:
    return lambda place, model: write_ctranslate2(place, model, kind)


def openai(dtype: torch.dtype) -> Write:
    def write(place: Path, model: Model) -> Path:
        write_tiktoken(place / "tokens.tiktoken", model)
        return write_openai(place / "model.pt", model, dtype)

    return write


def ggml(kind: str) -> Write:
    return lambda place, model: write_ggml(place / "ggml.bin", model, kind)


# With each layout goes the share of a row's greatest number by which numbers may be off.
LAYOUTS: dict[str, tuple[Write, float]] = {
    "CTranslate2, float32": (ctranslate2("float32"), 0.0),
    "CTranslate2, float16": (ctranslate2("float16"), 2**-11),
    "CTranslate2, bfloat16": (ctranslate2("bfloat16"), 2**-8),
    "CTranslate2, int8": (ctranslate2("int8"), 0.5 / 127),
    "CTranslate2, int8 and float16": (ctranslate2("int8_float16"), 0.5 / 127),
    "CTranslate2, int8 and bfloat16": (ctranslate2("int8_bfloat16"), 0.5 / 127),
    "CTranslate2, int16": (ctranslate2("int16"), 0.0),
    "openai/whisper, float32": (openai(torch.float32), 0.0),
    "openai/whisper, float16": (openai(torch.float16), 2**-11),
    "ggml, f32": (ggml("f32"), 0.0),
    "ggml, f16": (ggml("f16"), 2**-11),
    "ggml, q8_0": (ggml("q8_0"), 0.6 / 127),
    "ggml, q5_0": (ggml("q5_0"), 1.1 / 16),
}
ROUNDED = {"CTranslate2, int16": 2 / 2**10}  # of the tensor's greatest number, not the row's
HEARD = ["CTranslate2, int8", "openai/whisper, float32", "ggml, f16", "ggml, q5_0"]


@pytest.fixture(scope="module")
def demo() -> Model:
    return Model.demo()


@pytest.fixture(scope="module")
def whole() -> Engine:
    return load(Config(model_id="demo", device="cpu", dtype="float32"))


def described(place: Path) -> Description:
    config = Config(model_id=str(place))
    return describe(config, locate(config))


def copied_tokenizer(place: Path) -> None:
    """Put the demo model's tokenizer beside a file: its languages are not the first two."""
    shutil.copy(DEMO_MODEL / "tokenizer.json", place)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_holds_the_same_weights(layout: str, demo: Model, tmp_path: Path) -> None:
    write, share = LAYOUTS[layout]
    said = described(write(tmp_path, demo))
    found = said.open_weights(CPU, torch.float32)
    assert said.written.split(",")[0] == layout.split(",")[0]
    for name, shape in shapes(demo.settings):
        expected, stored = demo.tensors[name].float(), found[name]
        assert tuple(stored.shape) == shape == found.shape(name)
        rows = expected.abs().reshape(len(expected), -1).amax(dim=1)
        allowed = share * rows + ROUNDED.get(layout, 0.0) * expected.abs().max()
        off = (stored - expected).abs().reshape(len(expected), -1).amax(dim=1)
        assert (off <= allowed * 1.001).all(), name


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("layout", ["CTranslate2, int8", "openai/whisper, float32", "ggml, q8_0"])
def test_tensors_are_given_in_the_dtype_that_will_run(
    layout: str, dtype: torch.dtype, demo: Model, tmp_path: Path
) -> None:
    said = described(LAYOUTS[layout][0](tmp_path, demo))
    wide, narrow = (said.open_weights(CPU, each) for each in (torch.float32, dtype))
    name = "model.decoder.layers.1.encoder_attn.v_proj.weight"
    assert torch.equal(narrow[name], wide[name].to(dtype))


@pytest.mark.parametrize("layout", HEARD)
def test_the_same_text_comes_of_every_layout(
    layout: str, demo: Model, whole: Engine, tmp_path: Path
) -> None:
    place = LAYOUTS[layout][0](tmp_path, demo)
    copied_tokenizer(tmp_path)
    loaded = load(Config(model_id=str(place), device="cpu", dtype="float32"))
    assert loaded.info.engine == "whisper"
    assert said(loaded, "en-short") == said(whole, "en-short")


@pytest.mark.parametrize("layout", ["CTranslate2, int8", "openai/whisper, float16"])
def test_the_pipeline_runs_every_layout(
    layout: str, demo: Model, whole: Engine, tmp_path: Path
) -> None:
    place = LAYOUTS[layout][0](tmp_path, demo)
    copied_tokenizer(tmp_path)
    loaded = load(Config(model_id=str(place), device="cpu", engine="pipeline"))
    assert loaded.info.engine == "pipeline"
    assert loaded.info.checkpoint.startswith(layout.split(",")[0])
    assert said(loaded, "en-short") == said(whole, "en-short")


def said(engine: Engine, sample: str) -> list[tuple[str | None, str]]:
    samples, _ = soundfile.read(SAMPLES / f"{sample}.flac", dtype="float32")
    results = engine.step([Window(samples, start=0.0)])
    while engine.held():
        results += engine.step([])
    finals = [result for result in results if result.is_final]
    return [(each.language, "".join(part.text for part in each.segments)) for each in finals]


@pytest.mark.parametrize(
    ("shape", "write"),
    [
        ("tiny.en", openai(torch.float16)),
        ("large-v3", ctranslate2("float16")),
        ("distil", ggml("f16")),
    ],
)
def test_every_published_shape_is_read(shape: str, write: Write, tmp_path: Path) -> None:
    size = models.SHAPES[shape]
    model = models.random_model(size)
    said = described(write(tmp_path, Model.of(model)))
    settings = said.settings
    assert (settings.encoder_layers, settings.decoder_layers) == (
        size.encoder_layers,
        size.decoder_layers,
    )
    assert said.extractor.feature_size == size.mels
    expected = models.generation_config(size)
    assert said.generation.is_multilingual == expected.is_multilingual
    for key in ("no_timestamps_token_id", "decoder_start_token_id", "eos_token_id", "lang_to_id"):
        assert getattr(said.generation, key, None) == getattr(expected, key, None)
    assert said.tokenizer.decode([40, 41]) == "IJ"
    assert said.tokenizer.encode("IJ", add_special_tokens=False) == [256 + 40 * 256 + 41]
    found = said.open_weights(CPU, torch.float32)
    name = "model.decoder.embed_tokens.weight"
    assert torch.allclose(found[name], model.state_dict()[name], atol=0.01)


def test_heads_that_follow_speech_are_the_checkpoints_own_or_as_published(
    demo: Model, tmp_path: Path
) -> None:
    own = described(write_ctranslate2(tmp_path / "one", demo)).generation
    assert heads_of(own, 2, 4) == ((1, 0), (1, 1))
    unknown = described(write_ggml(tmp_path / "ggml.bin", demo)).generation
    assert heads_of(unknown, 2, 4) == ((1, 0), (1, 1), (1, 2), (1, 3))
