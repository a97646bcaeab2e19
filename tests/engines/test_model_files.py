"""A model's directory with a damaged file ends the start with one line that names the file."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

from asr.config.config import DEMO_MODEL, Config
from asr.engines.engine import Engine, Window
from asr.engines.load import load
from asr.engines.model_files import SETTINGS_FILES, first_line, reading
from asr.errors import ConfigError

CONFIG, GENERATION = "config.json", "generation_config.json"
WEIGHTS, TOKENIZER, FEATURES = "model.safetensors", "tokenizer.json", "preprocessor_config.json"

SAMPLE = DEMO_MODEL.parent / "samples" / "en-short.flac"

Damage = Callable[[Path], object]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the demo model; the weights are a link, which damages replace."""
    place = tmp_path / "model"
    place.mkdir()
    for file in DEMO_MODEL.iterdir():
        if file.name == WEIGHTS:
            (place / file.name).symlink_to(file)
        elif file.is_file():
            shutil.copy(file, place)
    return place


def removed(*names: str) -> Damage:
    return lambda model: [(model / name).unlink() for name in names]


def written(name: str, content: bytes) -> Damage:
    def damage(model: Path) -> None:
        (model / name).unlink(missing_ok=True)
        (model / name).write_bytes(content)

    return damage


def changed(name: str, **values: Any) -> Damage:
    """Set values in a JSON file; None removes a key."""

    def damage(model: Path) -> None:
        found = json.loads((model / name).read_text()) | values
        found = {key: value for key, value in found.items() if value is not None}
        (model / name).write_text(json.dumps(found))

    return damage


def both_features(**values: Any) -> Damage:
    """Change what the features are like in both files that say it."""

    def damage(model: Path) -> None:
        changed(FEATURES, **values)(model)
        (model / "processor_config.json").unlink()

    return damage


def cut(size: int) -> Damage:
    def damage(model: Path) -> None:
        content = (model / WEIGHTS).read_bytes()[:size]
        written(WEIGHTS, content)(model)

    return damage


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Damage:
    def damage(model: Path) -> None:
        found = load_file(model / WEIGHTS)
        change(found)
        (model / WEIGHTS).unlink()
        save_file(found, model / WEIGHTS)

    return damage


def narrowed(found: dict[str, torch.Tensor]) -> None:
    name = "model.encoder.layers.1.fc1.weight"
    found[name] = found[name][:, :100].contiguous()


def listed(files: object) -> Damage:
    """Replace the weights by an index of several files."""

    def damage(model: Path) -> None:
        (model / WEIGHTS).unlink()
        (model / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": files}))

    return damage


def unreadable(name: str) -> Damage:
    def damage(model: Path) -> None:
        (model / name).unlink()
        (model / name).mkdir()

    return damage


DAMAGES: dict[
    str, tuple[Damage, str, str]
] = {  # the damage, the file and the reason that are named
    "no config": (removed(CONFIG), CONFIG, "without config.json"),
    "cut config": (written(CONFIG, b'{"model_type": "whi'), CONFIG, "is not JSON"),
    "empty config": (written(CONFIG, b""), CONFIG, "is not JSON"),
    "config of bytes": (written(CONFIG, b"\xff\xfe\x00"), CONFIG, "is not JSON"),
    "config of a list": (written(CONFIG, b"[]"), CONFIG, "is not a JSON object"),
    "deep config": (written(CONFIG, b"[" * 100_000), CONFIG, "is not JSON"),
    "config is a directory": (unreadable(CONFIG), CONFIG, "without config.json"),
    "config of nothing": (written(CONFIG, b"{}"), CONFIG, ""),
    "unknown architecture": (changed(CONFIG, model_type="oracle"), CONFIG, "oracle"),
    "BERT": (
        written(CONFIG, b'{"model_type": "bert", "architectures": ["BertForMaskedLM"]}'),
        CONFIG,
        "does not transcribe speech (bert: BertForMaskedLM)",
    ),
    "headless CTC": (
        written(CONFIG, b'{"model_type": "wav2vec2", "architectures": ["Wav2Vec2ForPreTraining"]}'),
        CONFIG,
        "does not transcribe speech (wav2vec2: Wav2Vec2ForPreTraining)",
    ),
    "width in words": (changed(CONFIG, d_model="wide"), CONFIG, "d_model"),
    "no width": (changed(CONFIG, d_model=0), CONFIG, "d_model"),
    "odd heads": (changed(CONFIG, decoder_attention_heads=7), CONFIG, "decoder_attention_heads"),
    "no layers": (changed(CONFIG, encoder_layers=-1), CONFIG, "encoder_layers"),
    "other width": (changed(CONFIG, d_model=320), WEIGHTS, ""),
    "more layers": (changed(CONFIG, decoder_layers=3), WEIGHTS, "model.decoder.layers.2."),
    "other mels": (changed(CONFIG, num_mel_bins=128), FEATURES, "80"),
    "other vocabulary": (changed(CONFIG, vocab_size=51_865), WEIGHTS, ""),
    "broken generation": (written(GENERATION, b"{nothing}"), GENERATION, "is not JSON"),
    "generation of a list": (written(GENERATION, b"[]"), GENERATION, "is not a JSON object"),
    "far token": (changed(GENERATION, no_timestamps_token_id=10**6), GENERATION, "1000000"),
    "token in words": (changed(GENERATION, no_timestamps_token_id="one"), GENERATION, "one"),
    "far language": (changed(GENERATION, lang_to_id={"<|en|>": 10**6}), GENERATION, "'en'"),
    "one task": (changed(GENERATION, task_to_id={"translate": 1387}), GENERATION, "tasks"),
    "languages of a number": (changed(GENERATION, lang_to_id=7), GENERATION, ""),
    "broken features": (written(FEATURES, b"{"), FEATURES, "is not JSON"),
    "no features": (removed(FEATURES, "processor_config.json"), FEATURES, ""),
    "features of other mels": (both_features(feature_size=128), FEATURES, "feature_size"),
    "features of 8 kHz": (both_features(sampling_rate=8000), FEATURES, ""),
    "features of 10 s": (both_features(chunk_length=10), FEATURES, "chunk_length"),
    "no hop": (both_features(hop_length=0), FEATURES, ""),
    "broken processor": (written("processor_config.json", b"{"), "processor_config.json", "JSON"),
    "no tokenizer": (removed(TOKENIZER), TOKENIZER, "is missing"),
    "broken tokenizer": (written(TOKENIZER, b'{"version": "1.0"'), TOKENIZER, ""),
    "empty tokenizer": (written(TOKENIZER, b"{}"), TOKENIZER, ""),
    "broken tokenizer settings": (
        written("tokenizer_config.json", b"{"),
        "tokenizer_config",
        "JSON",
    ),
    "no weights": (removed(WEIGHTS), WEIGHTS, ""),
    "empty weights": (written(WEIGHTS, b""), WEIGHTS, ""),
    "weights without end": (cut(1_000_000), WEIGHTS, ""),
    "weights cut in the head": (cut(500), WEIGHTS, ""),
    "weights of a web page": (written(WEIGHTS, b"<!DOCTYPE html>" * 100), WEIGHTS, ""),
    "narrow tensor": (tensors(narrowed), WEIGHTS, "model.encoder.layers.1.fc1.weight"),
    "missing tensor": (
        tensors(lambda found: found.pop("model.decoder.layers.1.fc2.bias")),
        WEIGHTS,
        "has no tensor 'model.decoder.layers.1.fc2.bias'",
    ),
    "missing part": (listed({"a": "model-00001-of-00002.safetensors"}), "model-00001-of-00002", ""),
    "broken index": (listed([]), f"{WEIGHTS}.index.json", ""),
}


PIPELINE = [  # Damages that the other engine finds by code of its own.
    "headless CTC",
    "no width",
    "other width",
    "far token",
    "no features",
    "no tokenizer",
    "broken tokenizer",
    "no weights",
    "weights without end",
    "missing tensor",
    "missing part",
]


@pytest.mark.parametrize(
    ("engine", "name"),
    [*(("whisper", name) for name in DAMAGES), *(("pipeline", name) for name in PIPELINE)],
)
def test_a_damaged_model_is_refused_in_one_line_that_names_the_file(
    model: Path, engine: str, name: str
) -> None:
    damage, file, reason = DAMAGES[name]
    damage(model)
    asked = "auto" if engine == "whisper" else engine
    with pytest.raises(ConfigError) as caught:
        load(Config(model_id=str(model), device="cpu", dtype="float32", engine=asked))
    message = str(caught.value)
    assert "\n" not in message
    assert str(model) in message
    assert file in message
    assert reason in message
    assert not any(word in message for word in ("<class", "NoneType", "Traceback")), message


@pytest.mark.parametrize(
    ("engine", "damage"),
    [
        ("whisper", removed(GENERATION)),
        ("whisper", written(GENERATION, b"{}")),
        ("pipeline", removed(GENERATION)),
    ],
    ids=["no file", "empty file", "no file, pipeline"],
)
def test_settings_of_generation_that_are_missing_are_derived(
    model: Path, engine: str, damage: Damage
) -> None:
    damage(model)
    derived = load(Config(model_id=str(model), device="cpu", dtype="float32", engine=engine))
    whole = load(Config(model_id="demo", device="cpu", dtype="float32", engine=engine))
    assert derived.info.languages == whole.info.languages
    assert derived.info.can_translate
    window = Window(soundfile.read(SAMPLE, dtype="float32")[0], start=0.0)
    assert said(derived, window) == said(whole, window)


def said(engine: Engine, window: Window) -> list[tuple[str | None, str]]:
    results = engine.step([window])
    while engine.held():
        results += engine.step([])
    finals = [result for result in results if result.is_final]
    return [(each.language, "".join(part.text for part in each.segments)) for each in finals]


def test_what_is_lost_without_the_settings_of_generation_is_said(
    model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    removed(GENERATION)(model)
    with caplog.at_level(logging.WARNING):
        load(Config(model_id=str(model), device="cpu", dtype="float32"))
    assert "has no generation_config.json: languages and tasks are taken from" in caplog.text


def test_every_file_of_settings_is_checked(model: Path) -> None:
    for name in SETTINGS_FILES:
        whole = (model / name).read_bytes() if (model / name).exists() else None
        (model / name).write_bytes(b"{]")
        with pytest.raises(ConfigError, match=f"{name} is not JSON"):
            load(Config(model_id=str(model), device="cpu", dtype="float32"))
        (model / name).unlink() if whole is None else (model / name).write_bytes(whole)


def test_a_lack_of_memory_is_not_the_fault_of_a_file() -> None:
    for error in (MemoryError(), torch.OutOfMemoryError("CUDA out of memory")):
        with pytest.raises(type(error)), reading(Config(model_id="demo"), CONFIG):
            raise error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError(), "ValueError"),
        (KeyError("width"), "KeyError 'width'"),
        (OSError(" said so.\n"), "said so"),
        (ValueError("no entry a\x01b\x1b[31m"), "no entry a?b?[31m"),
    ],
)
def test_an_error_is_told_in_its_first_line(error: Exception, line: str) -> None:
    assert first_line(error) == line
