"""Figures that are kept between starts: for one machine, whole, and never trusted blindly."""

import json
import multiprocessing
from dataclasses import replace

import pytest
import torch

from asr.engines.whisper.dtypes import kept
from asr.engines.whisper.dtypes.measurement import ModelShape

SHAPE = ModelShape(768, 3072, 12, 12, 12, 51_865, 1500)
SECONDS = {"float32": 4.0, "int8": 1.0}


@pytest.fixture
def key():
    return kept.fingerprint(SHAPE)


def test_what_is_written_is_read_again(tmp_path, key):
    assert kept.read(tmp_path, key) is None
    kept.write(tmp_path, key, SECONDS)
    assert kept.read(tmp_path, key) == SECONDS
    assert [path.suffix for path in (tmp_path / kept.FOLDER).iterdir()] == [".json"]


def test_another_machine_torch_model_or_version_has_figures_of_its_own(monkeypatch, key):
    keys = {key, kept.fingerprint(replace(SHAPE, width=512))}
    flags = torch.cpu.get_capabilities()
    with monkeypatch.context() as patch:
        patch.setattr(torch.cpu, "get_capabilities", lambda: flags | {"avx512_vnni": "another"})
        keys.add(kept.fingerprint(SHAPE))
    with monkeypatch.context() as patch:
        patch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
        keys.add(kept.fingerprint(SHAPE))
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "9.9")
        keys.add(kept.fingerprint(SHAPE))
    with monkeypatch.context() as patch:
        patch.setattr(kept, "VERSION", kept.VERSION + 1)
        keys.add(kept.fingerprint(SHAPE))
    assert len(keys) == 6
    assert kept.fingerprint(SHAPE) == key


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[" * 60_000,
        b"{}",
        b"null",
        b'"text"',
        b"x" * 100_000,
        pytest.param("seconds of nothing", id="no format"),
    ],
)
def test_a_damaged_file_is_as_good_as_none(tmp_path, key, content):
    path = kept.place(tmp_path, key)
    path.parent.mkdir()
    if isinstance(content, str):
        content = json.dumps({"key": json.loads(key), "seconds": content}).encode()
    path.write_bytes(content)
    assert kept.read(tmp_path, key) is None
    kept.write(tmp_path, key, SECONDS)
    assert kept.read(tmp_path, key) == SECONDS


@pytest.mark.parametrize(
    "seconds",
    [
        {},
        {"int8": 1.0},
        {"float32": 0.0},
        {"float32": -1.0},
        {"float32": float("nan")},
        {"float32": float("inf")},
        {"float32": "many"},
        {"float32": 1.0, "int3": 1.0},
        {"float32": [1.0]},
    ],
)
def test_figures_that_cannot_be_are_not_trusted(tmp_path, key, seconds):
    kept.write(tmp_path, key, seconds)
    assert kept.read(tmp_path, key) is None


def test_a_file_of_another_machine_with_the_same_name_is_not_trusted(tmp_path, key):
    kept.write(tmp_path, key, SECONDS)
    path = kept.place(tmp_path, key)
    content = json.loads(path.read_text())
    content["key"]["processor"] = "another"
    path.write_text(json.dumps(content))
    assert kept.read(tmp_path, key) is None


def written(directory, key, number):
    for _ in range(50):
        kept.write(directory, key, {"float32": float(number)})
        assert kept.read(directory, key) in ({"float32": 1.0}, {"float32": 2.0})


def test_servers_that_start_together_never_read_a_part(tmp_path, key):
    started = [
        multiprocessing.get_context("fork").Process(target=written, args=(tmp_path, key, number))
        for number in (1, 2)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0]
    assert len(list((tmp_path / kept.FOLDER).iterdir())) == 1
