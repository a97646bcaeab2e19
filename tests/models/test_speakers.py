"""The weights of the built-in diarizer: what the model card says of them."""

import hashlib

import pytest
import torch
from safetensors.torch import load_file

from models.speakers import make
from tests.conftest import ROOT

FOLDER = ROOT / "models" / "speakers"


@pytest.mark.parametrize("name", ["segmentation.safetensors", "campplus.safetensors"])
def test_the_card_has_the_hash_of_each_file(name):
    found = hashlib.sha256((make.WEIGHTS / name).read_bytes()).hexdigest()
    assert f"| `{name}` | {found} |" in (FOLDER / "README.md").read_text()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("LICENSE.segmentation", ("MIT License", "Copyright (c) 2020 CNRS", "above copyright")),
        ("LICENSE.campplus", ("3D-Speaker", "Apache License", "9. Accepting Warranty")),
    ],
)
def test_licences_travel_with_the_weights(name, words):
    text = (make.WEIGHTS / name).read_text()
    assert [word for word in words if word not in text] == []


def test_filters_are_even_or_odd_and_pass_their_band():
    [filters] = [
        tensor[:, 0].double()
        for name, tensor in load_file(make.WEIGHTS / "segmentation.safetensors").items()
        if name == "sincnet.conv1d.0.weight"
    ]
    assert filters.shape == (80, 251)
    torch.testing.assert_close(filters[:40], filters[:40].flip(1))
    torch.testing.assert_close(filters[40:], -filters[40:].flip(1))


def test_what_is_converted_is_what_was_converted_before(tmp_path, monkeypatch):
    def download(command, check):
        assert check
        assert make.WHEEL in command
        wheel = tmp_path / "a.whl"
        with make.zipfile.ZipFile(wheel, "w") as files:
            for name in (*make.HASHES, make.LICENCES):
                files.writestr(name, "another")

    monkeypatch.setattr(make.subprocess, "run", download)
    with pytest.raises(ValueError, match="has SHA-256"):
        make.download(tmp_path)
