"""A .pt file that cannot be used is refused in one sentence."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from asr.config.config import DEMO_MODEL, Config
from asr.engines.hub import locate
from asr.engines.whisper.layouts import openai
from asr.engines.whisper.layouts.describe import describe
from asr.errors import ConfigError
from tests.support import models
from tests.support.layouts import Model, write_openai, write_tiktoken

Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def demo() -> Model:
    return Model.demo()


@pytest.fixture
def path(demo: Model, tmp_path: Path) -> Path:
    shutil.copy(DEMO_MODEL / "tokenizer.json", tmp_path)
    return write_openai(tmp_path / "model.pt", demo)


def saved(change: Callable[[Any], Any]) -> Damage:
    """Change what the archive holds."""

    def damage(path: Path) -> None:
        torch.save(change(torch.load(path)), path)

    return damage


def sizes(**values: object) -> Damage:
    return saved(lambda content: content | {"dims": content["dims"] | values})


def cut(size: int) -> Damage:
    return lambda path: path.write_bytes(path.read_bytes()[:size])


def compressed(path: Path) -> None:
    """Compress what says where the tensors lie."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            kind = zipfile.ZIP_DEFLATED if name.endswith("data.pkl") else zipfile.ZIP_STORED
            archive.writestr(name, content, kind)


def narrowed(content: Any) -> Any:
    tensors = content["model_state_dict"]
    tensors["decoder.blocks.1.mlp.0.weight"] = torch.zeros(640, 100)
    return content


def without(name: str) -> Damage:
    def change(content: Any) -> Any:
        del content["model_state_dict"][name]
        return content

    return saved(change)


DAMAGES: dict[str, tuple[Damage, str]] = {  # the damage and the reason
    "cut in the middle": (cut(1_000_000), "is cut off or damaged"),
    "cut at the end": (lambda path: cut(path.stat().st_size - 1)(path), "is cut off or damaged"),
    "compressed": (compressed, "torch compresses nothing in its archives"),
    "a list": (saved(lambda _: [1, 2]), "is no checkpoint of openai/whisper: it has no dims"),
    "weights alone": (saved(lambda content: content["model_state_dict"]), "it has no dims or"),
    "code": (saved(lambda content: content | {"more": Path.unlink}), "cannot be used: "),
    "no width": (saved(lambda content: content | {"dims": {}}), "its dims are incomplete"),
    "words": (sizes(n_vocab="many"), "its dims are incomplete"),
    "two widths": (sizes(n_text_state=80), "its decoder and its encoder differ in width"),
    "many layers": (sizes(n_text_layer=10**12), "has no tensor 'model.decoder.layers.2."),
    "no layers": (sizes(n_text_layer=0), "says decoder_layers is 0"),
    "many mels": (sizes(n_mels=10**12), "asks for 160 x 1000000000000 x 3"),
    "odd heads": (sizes(n_audio_head=7), "says encoder_attention_heads is 7"),
    "narrow tensor": (saved(narrowed), "model.decoder.layers.1.fc1.weight is 640 x 100"),
    "missing tensor": (
        without("decoder.blocks.1.mlp.2.bias"),
        "has no tensor 'model.decoder.layers.1.fc2.bias'",
    ),
    "other things": (
        saved(lambda content: content | {"model_state_dict": {"a": 1}}),
        "model_state_dict holds other things",
    ),
    "no tokenizer": (
        lambda path: (path.parent / "tokenizer.json").unlink(),
        "has no tokenizer inside; put the model's tokenizer.json beside it",
    ),
    "broken tokenizer": (
        lambda path: (path.parent / "tokenizer.json").write_text("{"),
        "tokenizer.json cannot be used",
    ),
    "old": (
        lambda path: torch.save({}, path, _use_new_zipfile_serialization=False),
        "was saved by torch before 1.6: load and save it with a newer one",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_refused_in_one_line_that_names_it(path: Path, name: str) -> None:
    damage, reason = DAMAGES[name]
    damage(path)
    config = Config(model_id=str(path), device="cpu", dtype="float32")
    with pytest.raises(ConfigError) as caught:
        describe(config, locate(config))
    message = str(caught.value)
    assert message.startswith(f"MODEL_ID={str(path)!r}")
    assert reason in message
    assert "\n" not in message
    assert not any(word in message for word in ("<class", "NoneType", "Traceback")), message


def test_the_hub_is_asked_for_the_tokenizer_of_a_published_vocabulary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model.of(models.random_model(models.TINY))
    path = write_openai(tmp_path / "tiny.pt", model)
    asked: list[tuple[str, str]] = []

    def download(repository: str, name: str, **_: object) -> str:
        asked.append((repository, name))
        raise FileNotFoundError("nobody answers")

    monkeypatch.setattr(openai, "hf_hub_download", download)
    config = Config(model_id=str(path))
    with pytest.raises(ConfigError) as caught:
        describe(config, locate(config))
    assert asked == [("openai/whisper-tiny", "tokenizer.json")]
    assert "openai/whisper-tiny cannot be downloaded (nobody answers); put" in str(caught.value)
    assert "or multilingual.tiktoken of openai/whisper (from its whisper/assets)" in str(
        caught.value
    )
    asked.clear()
    write_tiktoken(tmp_path / "multilingual.tiktoken", model)
    assert describe(config, locate(config)).generation.is_multilingual
    assert asked == []
