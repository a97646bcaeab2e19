"""Baking: weights no wider than they will run, found again without a network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from images import bake

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    directory = tmp_path / "checkpoint"
    directory.mkdir()
    tensors = {"wide": torch.tensor([1.0, 0.5]), "narrow": torch.tensor([2.0], dtype=torch.float16)}
    save_file(tensors, directory / "model.safetensors", {"format": "pt"})
    (directory / "config.json").write_text('{"model_type": "whisper", "torch_dtype": "float32"}')
    (directory / "pytorch_model.bin").write_bytes(b"a pickle")
    return directory


def dtypes(path: Path) -> dict[str, torch.dtype]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118


def test_weights_are_narrowed_to_what_will_run(checkpoint, tmp_path):
    bake.bake(checkpoint, tmp_path / "baked", torch.float16)
    found = dtypes(tmp_path / "baked" / "model.safetensors")
    assert found == {"wide": torch.float16, "narrow": torch.float16}
    config = json.loads((tmp_path / "baked" / "config.json").read_text())
    assert config == {"model_type": "whisper", "dtype": "float16"}


def test_weights_are_never_widened(checkpoint, tmp_path):
    bake.bake(checkpoint, tmp_path / "baked", torch.float32)
    baked = tmp_path / "baked" / "model.safetensors"
    assert baked.read_bytes() == (checkpoint / "model.safetensors").read_bytes()
    assert "float32" in (tmp_path / "baked" / "config.json").read_text()


def test_only_safetensors_and_descriptions_are_baked(checkpoint, tmp_path):
    bake.bake(checkpoint, tmp_path / "baked", torch.float16)
    names = {path.name for path in (tmp_path / "baked").iterdir()}
    assert names == {"config.json", "model.safetensors"}


def test_of_a_repository_only_one_set_of_weights_is_downloaded():
    described = ["config.json", "tokenizer.json", "vocab.json", "merges.txt"]
    rest = [
        "model.fp32-00001-of-00002.safetensors",
        "model.safetensors.index.fp32.json",
        "pytorch_model.bin",
        "flax_model.msgpack",
        "onnx/config.json",
        "README.md",
    ]
    assert bake.needed([*rest, "model.safetensors", *described]) == [
        "model.safetensors",
        *described,
    ]
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = "model.safetensors.index.json"
    assert bake.needed([*shards, index, *described]) == [index, *shards, *described]
    with pytest.raises(ValueError, match="safetensors"):
        bake.needed(["pytorch_model.bin", *described])


def test_a_model_of_another_layout_is_baked_as_it_is(tmp_path):
    described = ["config.json", "vocabulary.json"]
    assert bake.needed(["model.bin", "README.md", *described]) == ["model.bin", *described]
    assert bake.needed(["ggml-base.bin", "README.md"]) == ["ggml-base.bin"]
    with pytest.raises(ValueError, match="nor one file of another layout"):
        bake.needed(["ggml-base.bin", "ggml-tiny.bin"])
    source = tmp_path / "source"
    source.mkdir()
    (source / "model.bin").write_bytes(b"weights")
    (source / "config.json").write_text("{}")
    bake.bake(source, tmp_path / "baked", torch.float16)
    assert (tmp_path / "baked" / "model.bin").read_bytes() == b"weights"
    assert (tmp_path / "baked" / "config.json").read_text() == "{}"


def test_a_baked_model_is_found_by_its_id_without_a_network(checkpoint, tmp_path):
    cache = tmp_path / "models"
    bake.bake(checkpoint, bake.place(cache, "org/model", COMMIT), torch.float16)
    bake.settle(cache)
    find = (
        "from huggingface_hub import hf_hub_download\n"
        f"print(hf_hub_download('org/model', 'model.safetensors', cache_dir={str(cache)!r}))"
    )
    found = subprocess.run(
        [sys.executable, "-c", find],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout.strip()).parent.name == COMMIT


def test_two_bakes_are_the_same_to_the_second(checkpoint, tmp_path):
    for name in ("first", "second"):
        bake.bake(checkpoint, tmp_path / name / "demo", torch.float16)
        bake.settle(tmp_path / name)
    for path in [tmp_path / "first", *(tmp_path / "first").rglob("*")]:
        twin = tmp_path / "second" / path.relative_to(tmp_path / "first")
        assert (path.stat().st_mtime, path.stat().st_mode) == (0, twin.stat().st_mode)
        assert path.is_dir() or path.read_bytes() == twin.read_bytes()
