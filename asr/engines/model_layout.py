"""Recognise in which layout a checkpoint is written, by the first bytes of its files."""

from __future__ import annotations

import enum
import json
import struct
from dataclasses import dataclass
from pathlib import Path

from asr.config.setting import MODEL_FILE

HEAD_BYTES = 512  # So many bytes from a file's start on are enough to recognise it.
GGML = b"lmgg"  # whisper.cpp's files begin with this: 0x67676d6c, little-endian.
GGUF = b"GGUF"  # llama.cpp's files begin with this.
ZIP = b"PK\x03\x04"  # torch.save writes an archive, which begins with this.
ZIP_NAME = 30  # The name of an archive's first entry begins at this byte.
OLD_PICKLE = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch before 1.6 saved with this first.
LAST_BINARY_VERSION = 255  # CTranslate2 counts its file versions from 1; today's is 6.
TRANSFORMERS_KEYS = ("model_type", "architectures")  # Its config.json has one of these.


class CheckpointLayout(enum.Enum):
    """Who wrote a checkpoint; the value is the name in messages."""

    TRANSFORMERS = "Transformers"
    CTRANSLATE2 = "CTranslate2"
    OPENAI = "openai/whisper"
    GGML = "ggml"


@dataclass(frozen=True)
class ModelSource:
    """Where the files of a model lie, and in which layout."""

    layout: CheckpointLayout
    file: Path | None = None  # with the weights; None: Transformers' classes find theirs

    @property
    def path(self) -> Path:
        """The file with the weights."""
        assert self.file is not None
        return self.file


TRANSFORMERS = ModelSource(CheckpointLayout.TRANSFORMERS)


class UnknownLayout(ValueError):
    """A file is of a layout that is known by name and cannot be read."""


def layout_of(path: Path) -> CheckpointLayout | None:
    """Return the layout of one file with weights, or None where it is no such file.

    Raises:
        OSError: it cannot be read.
        UnknownLayout: it holds a model that is never read; the message says what to do.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(GGML):
        return CheckpointLayout.GGML
    if head.startswith(GGUF):
        raise UnknownLayout("is a GGUF file: name whisper.cpp's ggml .bin of the model")
    if head.startswith(OLD_PICKLE):
        raise UnknownLayout("was saved by torch before 1.6: load and save it with a newer one")
    if head.startswith(ZIP) and _first_name(head).endswith(b"/data.pkl"):
        return CheckpointLayout.OPENAI
    return CheckpointLayout.CTRANSLATE2 if _specification(head).endswith(b"Spec") else None


def is_transformers(description: Path) -> bool:
    """Return whether a config.json is Transformers', or is broken and so left to it."""
    try:
        found = json.loads(description.read_bytes())
    except (OSError, ValueError, RecursionError):
        return True
    return not isinstance(found, dict) or any(key in found for key in TRANSFORMERS_KEYS)


def in_directory(directory: Path) -> list[ModelSource]:
    """Return every model whose files lie in a directory; Transformers' excludes all others.

    Raises:
        OSError: the directory or a file in it cannot be read.
        UnknownLayout: it holds a single file of a layout that is never read.
    """
    description = directory / MODEL_FILE
    if description.is_file() and is_transformers(description):
        return [TRANSFORMERS]
    found, refused = [], []
    for path in sorted(directory.iterdir()):
        if not path.is_file():
            continue
        try:
            layout = layout_of(path)
        except UnknownLayout as error:
            refused.append(UnknownLayout(f"{path.name} {error}"))
            continue
        if layout is not None:
            found.append(ModelSource(layout, path))
    if refused and not found:
        raise refused[0]
    return found


def _first_name(head: bytes) -> bytes:
    """Return the name of the first entry of a zip archive."""
    length = int.from_bytes(head[ZIP_NAME - 4 : ZIP_NAME - 2], "little")
    return head[ZIP_NAME : ZIP_NAME + length]


def _specification(head: bytes) -> bytes:
    """Return the name with which CTranslate2's files begin, or nothing."""
    if len(head) < 6:
        return b""
    version, length = struct.unpack_from("<IH", head)
    name = head[6 : 6 + length]
    is_whole = len(name) == length and name.endswith(b"\0")
    return name[:-1] if is_whole and 1 <= version <= LAST_BINARY_VERSION else b""
