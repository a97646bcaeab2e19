"""A checkpoint's tensors are read from whatever files they lie in."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import WhisperForConditionalGeneration

from asr.config.config import Config
from asr.engines.whisper import weight_files
from asr.engines.whisper.model.int8 import Int8Rows
from asr.engines.whisper.weight_files import Tensors, find
from asr.errors import ConfigError
from tests.support.twins import Twins

CPU = torch.device("cpu")


def stored(model: WhisperForConditionalGeneration) -> dict[str, torch.Tensor]:
    """What a file of a checkpoint holds: tied weights once."""
    found = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    del found["proj_out.weight"]
    return found


def read(folder: Path, dtype: torch.dtype = torch.float32) -> Tensors:
    return Tensors(find(Config(model_id=str(folder))), CPU, dtype)


def index(folder: Path, name: str, parts: dict[str, dict[str, torch.Tensor]]) -> None:
    places = {tensor: part for part, tensors in parts.items() for tensor in tensors}
    (folder / name).write_text(json.dumps({"metadata": {}, "weight_map": places}))


def test_what_was_read_of_a_mapped_file_does_not_stay_in_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = {f"model.{number}": torch.randn(2**18) for number in range(32)}  # 1 MB each
    path = tmp_path / "model.safetensors"
    save_file(expected, path)
    monkeypatch.setattr(weight_files, "MOST_MAPPED_BYTES", 3 * 2**20)
    tensors = Tensors([path], CPU, torch.float32)
    for name, tensor in expected.items():
        assert torch.equal(tensors[name], tensor)
        assert mapped_bytes(path) < 6 * 2**20


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_matrix_is_quantized_where_its_file_is_mapped(dtype: torch.dtype, tmp_path: Path) -> None:
    matrix = torch.randn(300, 40).to(dtype)
    save_file({"model.one": matrix}, tmp_path / "model.safetensors")
    found = Tensors([tmp_path / "model.safetensors"], CPU, torch.float32).int8_rows("model.one")
    expected = Int8Rows.of(matrix.float())
    assert torch.equal(found.numbers, expected.numbers)
    assert torch.equal(found.scales, expected.scales)


def mapped_bytes(path: Path) -> int:
    """How much of a mapped file is in this process's memory: proc_pid_smaps(5)."""
    smaps = Path("/proc/self/smaps")
    if not smaps.exists():
        pytest.skip("the system has no /proc")
    kilobytes, is_of_file = 0, False
    for line in smaps.read_text().splitlines():
        first, *others = line.split()
        if not first.endswith(":"):  # a mapping's own line
            is_of_file = others[-1:] == [str(path)]
        elif first == "Rss:" and is_of_file:
            kilobytes += int(others[0])
    return kilobytes * 1024


@pytest.mark.parametrize("form", ["safetensors", "shards", "pickle", "pickles", "headless"])
def test_every_form_holds_the_same_tensors(form: str, tiny: Twins, tmp_path: Path) -> None:
    expected = stored(tiny.model)
    names = sorted(expected)
    halves = [{name: expected[name] for name in names[part::2]} for part in (0, 1)]
    if form == "safetensors":
        save_file(expected, tmp_path / "model.safetensors")
    if form == "shards":
        parts = {f"model-{part}.safetensors": half for part, half in enumerate(halves)}
        for name, half in parts.items():
            save_file(half, tmp_path / name)
        index(tmp_path, "model.safetensors.index.json", parts)
    if form == "pickle":
        torch.save(expected, tmp_path / "pytorch_model.bin")
    if form == "pickles":
        parts = {f"pytorch_model-{part}.bin": half for part, half in enumerate(halves)}
        for name, half in parts.items():
            torch.save(half, tmp_path / name)
        index(tmp_path, "pytorch_model.bin.index.json", parts)
    if form == "headless":
        bare = {name.removeprefix("model."): tensor for name, tensor in expected.items()}
        save_file(bare, tmp_path / "model.safetensors")
    found = read(tmp_path)
    assert sorted(found) == names
    assert all(torch.equal(found[name], expected[name]) for name in names)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    torch.save({"model.encoder.conv1.weight": Path.unlink}, tmp_path / "pytorch_model.bin")
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        read(tmp_path)


def test_tensors_have_the_dtype_that_will_run(tiny: Twins, tmp_path: Path) -> None:
    save_file(stored(tiny.model), tmp_path / "model.safetensors")
    assert {tensor.dtype for tensor in read(tmp_path, torch.float16).values()} == {torch.float16}


def test_a_model_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{tmp_path} has neither model.safetensors"):
        read(tmp_path)


def test_nothing_of_a_file_stays_mapped_with_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"model.a": torch.ones(4), "model.b": torch.ones(1000)}, path)
    read_tensor = read(tmp_path)["model.a"]
    assert str(path) not in Path("/proc/self/maps").read_text()
    assert read_tensor.untyped_storage().nbytes() == read_tensor.nbytes
