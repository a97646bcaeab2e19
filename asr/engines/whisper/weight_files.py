"""Read a checkpoint's tensors from its files, each one when it is needed, onto the device.

Transformers' models are not used for it, because importing them imports torch's compiler and
sympy too: two fifths of all the time that imports take.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from safetensors import SafetensorError, safe_open

from asr.config.config import Config
from asr.engines.whisper.model.int8 import Int8Rows
from asr.errors import ConfigError

SAFETENSORS = "model.safetensors"  # A file of this name is taken first.
PICKLE = "pytorch_model.bin"  # Older checkpoints have only this file.
INDEX = ".index.json"  # A file with this ending lists several files with tensors.
# After so many bytes are read of a mapped file it is mapped anew: what was read leaves memory.
MOST_MAPPED_BYTES = 64 * 2**20
PREFIX = "model."  # Names of tensors begin with this, unless the checkpoint has no head.


class Tensors(Mapping[str, torch.Tensor]):
    """Reads tensors of some files by name, onto `device` and as `dtype`.

    Each is a copy, because a part of a mapped file keeps all of it in memory: 1 GB of a small
    model in float32.
    """

    def __init__(
        self,
        files: Iterable[Path],
        device: torch.device,
        dtype: torch.dtype,
        name: str = SAFETENSORS,
    ) -> None:
        self.name = name  # of the file that messages name
        self._device = device
        self._dtype = dtype
        self._files: dict[str, Mapping[str, torch.Tensor] | SafeFile] = {}
        for path in files:
            file = _opened(path)
            self._files |= dict.fromkeys(file.keys(), file)
        self._prefix = "" if any(name.startswith(PREFIX) for name in self._files) else PREFIX

    def __getitem__(self, name: str) -> torch.Tensor:
        stored = name.removeprefix(self._prefix)
        return self._files[stored][stored].to(self._device, self._dtype, copy=True)

    def is_int8(self, name: str) -> bool:  # noqa: ARG002
        """Return whether a matrix is stored in int8: none is."""
        return False

    def int8_rows(self, name: str, factors: torch.Tensor | None = None) -> Int8Rows:
        """Quantize a matrix [out, in] where the file is mapped, without a float copy of it.

        Args:
            factors: float32 [in], of its columns.
        """
        stored = name.removeprefix(self._prefix)
        return Int8Rows.of(self._files[stored][stored], factors)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor, which is not read for it."""
        stored = name.removeprefix(self._prefix)
        file = self._files[stored]
        return file.shape(stored) if isinstance(file, SafeFile) else tuple(file[stored].shape)

    def __iter__(self) -> Iterator[str]:
        return (self._prefix + name for name in self._files)

    def __len__(self) -> int:
        return len(self._files)


class SafeFile:
    """Reads tensors of one safetensors file, which is mapped into memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = self._mapped()

    def keys(self) -> list[str]:
        return list(self._file.keys())

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._file.get_slice(name).get_shape())

    def __getitem__(self, name: str) -> torch.Tensor:
        tensor: torch.Tensor = self._file.get_tensor(name)
        self._read_bytes += tensor.nbytes
        if self._read_bytes > MOST_MAPPED_BYTES:
            self._file = self._mapped()
        return tensor

    def _mapped(self) -> Any:
        """Map the file into memory; of a new mapping nothing has been read."""
        self._read_bytes = 0
        try:
            return safe_open(self._path, "pt")
        except SafetensorError as error:
            raise ConfigError(f"{self._path} is damaged: download it again ({error})") from error


def _opened(path: Path) -> Mapping[str, torch.Tensor] | SafeFile:
    if path.suffix == ".safetensors":
        return SafeFile(path)
    tensors: dict[str, torch.Tensor] = torch.load(path, "cpu", mmap=True, weights_only=True)
    return tensors


def find(config: Config) -> list[Path]:
    """Return the files with the weights of a model; download them where they are missing.

    Raises:
        ConfigError: there are none in a form that can be read.
    """
    reason = ""
    for name in (SAFETENSORS, SAFETENSORS + INDEX, PICKLE, PICKLE + INDEX):
        try:
            path = _file(config, name)
        except (EntryNotFoundError, FileNotFoundError) as error:
            reason = str(error)
            continue
        if not name.endswith(INDEX):
            return [path]
        return [_file(config, part) for part in _parts(path)]
    raise ConfigError(f"{config.model_id} has neither {SAFETENSORS} nor {PICKLE}: {reason}")


def _parts(index: Path) -> list[str]:
    """Return the names of the files that an index lists."""
    try:
        return sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{index} lists no files (weight_map): download it again") from error


def _file(config: Config, name: str) -> Path:
    directory = Path(config.model_path)
    if not directory.is_dir():
        return Path(hf_hub_download(config.model_path, name, cache_dir=config.cache_dir))
    if not (directory / name).is_file():
        raise FileNotFoundError(f"there is no file {directory / name}")
    return directory / name
