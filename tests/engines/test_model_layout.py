"""The layout of a checkpoint is seen from its first bytes, whatever its name is."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest
import torch

from asr.engines.model_layout import (
    CheckpointLayout,
    UnknownLayout,
    in_directory,
    is_transformers,
    layout_of,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a name that says nothing"


@pytest.mark.parametrize(
    ("head", "layout"),
    [
        (b"lmgg" + bytes(100), CheckpointLayout.GGML),
        (struct.pack("<IH", 6, 12) + b"WhisperSpec\0" + bytes(100), CheckpointLayout.CTRANSLATE2),
        (struct.pack("<IH", 6, 17) + b"TransformerSpec\0", None),  # it ends too early
        (struct.pack("<IH", 6, 16) + b"TransformerSpec\0", CheckpointLayout.CTRANSLATE2),
        (struct.pack("<IH", 0, 12) + b"WhisperSpec\0", None),
        (b"", None),
        (b"RIFF1234WAVEfmt ", None),
        (b"\xff" * 600, None),
    ],
)
def test_a_file_is_recognised_by_its_first_bytes(
    head: bytes, layout: CheckpointLayout | None, path: Path
) -> None:
    path.write_bytes(head)
    assert layout_of(path) is layout


def test_an_archive_of_torch_is_told_from_others(path: Path) -> None:
    torch.save({}, path)
    assert layout_of(path) is CheckpointLayout.OPENAI
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("encoder.mlmodelc/weights", b"of another program")
    assert layout_of(path) is None


@pytest.mark.parametrize(
    ("head", "reason"), [(b"GGUF\3\0\0\0", "is a GGUF file"), (None, "torch before 1.6")]
)
def test_layouts_that_are_never_read_are_named(head: bytes | None, reason: str, path: Path) -> None:
    if head is None:
        torch.save({}, path, _use_new_zipfile_serialization=False)
    else:
        path.write_bytes(head)
    with pytest.raises(UnknownLayout, match=reason):
        layout_of(path)
    with pytest.raises(UnknownLayout, match=f"{path.name} {reason}" if head else reason):
        in_directory(path.parent)


def test_all_models_of_a_directory_are_found(tmp_path: Path) -> None:
    (tmp_path / "b.bin").write_bytes(b"lmgg")
    (tmp_path / "a.bin").write_bytes(b"lmgg")
    (tmp_path / "c.gguf").write_bytes(b"GGUF")
    (tmp_path / "README.md").write_text("# Models")
    (tmp_path / "folder").mkdir()
    assert [source.path.name for source in in_directory(tmp_path)] == ["a.bin", "b.bin"]


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ('{"model_type": "whisper"}', True),
        ('{"architectures": ["Wav2Vec2ForCTC"]}', True),
        ('{"alignment_heads": [], "suppress_ids": []}', False),
        ("{}", False),
        ("[]", True),
        ("{", True),
    ],
)
def test_a_description_is_transformers_or_is_left_to_it_if_broken(
    description: str, expected: bool, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(description)
    (tmp_path / "other.bin").write_bytes(b"lmgg")
    assert is_transformers(tmp_path / "config.json") == expected
    [found] = in_directory(tmp_path)
    assert (found.layout is CheckpointLayout.TRANSFORMERS) == expected
