"""Tensors are read out of a file a few rows at a time, and no further than asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from asr.engines.model_files import UnusableFile
from asr.engines.whisper.layouts import stored_tensors
from asr.engines.whisper.layouts.number_formats import FLOAT16, FLOAT32, INT8
from asr.engines.whisper.layouts.stored_tensors import StoredTensor, StoredTensors
from asr.engines.whisper.model.int8 import Int8Rows

CPU = torch.device("cpu")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "numbers"


@pytest.mark.parametrize("at_once", [1, 7, 10, 1 << 20])
def test_rows_are_put_together_whatever_is_read_at_once(
    at_once: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_tensors, "AT_ONCE", at_once)
    numbers = np.arange(15, dtype=np.float16).reshape(5, 3)
    path.write_bytes(b"odd" + numbers.tobytes())
    found = StoredTensor((5, 3), FLOAT16, 3).read(path, torch.float32)
    assert torch.equal(found, torch.from_numpy(numbers).float())


@pytest.mark.parametrize("at_once", [1, 1 << 20])
def test_each_row_is_divided_by_its_scale(
    at_once: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_tensors, "AT_ONCE", at_once)
    numbers, scales = np.array([[10, -4], [6, 9]], np.int8), np.array([2, 3], np.float32)
    path.write_bytes(numbers.tobytes() + scales.tobytes())
    tensor = StoredTensor((2, 2), INT8, 0, StoredTensor((2,), FLOAT32, 4))
    assert tensor.read(path, torch.float32).tolist() == [[5, -2], [2, 3]]
    assert tensor.rows(1, 2).read(path, torch.float32).tolist() == [[2, 3]]


def test_one_scale_serves_all_rows(path: Path) -> None:
    path.write_bytes(np.array([[10, -4], [6, 9]], np.int8).tobytes() + np.float32(2).tobytes())
    tensor = StoredTensor((2, 2), INT8, 0, StoredTensor((), FLOAT32, 4))
    assert tensor.rows(1, 2).read(path, torch.float32).tolist() == [[3, 4.5]]


@pytest.mark.parametrize("scales", [[2.0, 3.0], [2.0]])
def test_numbers_in_int8_and_their_scales_stay_as_they_are(scales: list[float], path: Path) -> None:
    numbers = np.array([[10, -127, 5], [6, 9, -4]], np.int8)
    path.write_bytes(numbers.tobytes() + np.array(scales, np.float32).tobytes())
    tensor = StoredTensor((2, 3), INT8, 0, StoredTensor((len(scales),), FLOAT32, 6))
    for part, rows in ((tensor, slice(2)), (tensor.rows(1, 2), slice(1, 2))):
        kept = part.read_int8(path)
        assert kept.numbers.tolist() == numbers[rows].tolist()
        floats = kept.numbers * kept.scales[:, None]
        assert torch.allclose(floats, part.read(path, torch.float32), rtol=1e-6)


@pytest.mark.parametrize(("number", "scale"), [(-128, 2.0), (9, -3.0)])
def test_a_matrix_in_int8_that_cannot_be_kept_is_quantized_anew(
    number: int, scale: float, path: Path
) -> None:
    numbers, scales = np.array([[10, 127], [6, number]], np.int8), np.array([2, scale], np.float32)
    path.write_bytes(numbers.tobytes() + scales.tobytes())
    tensor = StoredTensor((2, 2), INT8, 0, StoredTensor((2,), FLOAT32, 4))
    found, floats = tensor.read_int8(path), tensor.read(path, torch.float32)
    assert found.numbers.abs().amax(dim=1).tolist() == [127, 127]
    assert torch.allclose(found.numbers * found.scales[:, None], floats, rtol=0.01)


@pytest.mark.parametrize("at_once", [1, 1 << 20])
def test_other_numbers_are_quantized_a_few_rows_at_a_time(
    at_once: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_tensors, "AT_ONCE", at_once)
    numbers = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float16)
    path.write_bytes(numbers.tobytes())
    tensor = StoredTensor((5, 8), FLOAT16, 0)
    tensors = StoredTensors(path, {"one": tensor}, CPU, torch.float32)
    expected = Int8Rows.of(torch.from_numpy(numbers).float())
    assert torch.equal(tensors.int8_rows("one").numbers, expected.numbers)
    assert torch.equal(tensors.int8_rows("one").scales, expected.scales)


def test_a_file_that_becomes_shorter_is_an_error(path: Path) -> None:
    path.write_bytes(b"12345")
    with pytest.raises(UnusableFile, match="became shorter"):
        StoredTensor((4,), FLOAT16, 0).read(path, torch.float32)


def test_shapes_are_known_without_reading(path: Path) -> None:
    tensors = StoredTensors(path, {"one": StoredTensor((4,), FLOAT16, 0)}, CPU, torch.float16)
    assert tensors.shape("one") == (4,)
    assert (list(tensors), tensors.name) == (["one"], "numbers")
