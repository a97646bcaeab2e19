"""Read tensors out of one large file by their places in it, in the dtype that will run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from asr.engines.model_files import UnusableFile
from asr.engines.whisper.layouts.binary_file import CUT
from asr.engines.whisper.layouts.number_formats import INT8, NumberFormat
from asr.engines.whisper.model.int8 import WEIGHT_LIMIT, Int8Rows

AT_ONCE = 1 << 20  # At most so many numbers, or one row, are read before they are converted.


@dataclass(frozen=True)
class StoredTensor:
    """Where the numbers of a tensor lie in a file."""

    shape: tuple[int, ...]
    format: NumberFormat
    start: int  # byte of the file
    scale: StoredTensor | None = None  # of each row, or of all: the numbers are divided by it

    @property
    def size(self) -> int:
        """Bytes that it takes in the file."""
        return self.format.size(math.prod(self.shape))

    @property
    def row_bytes(self) -> int:
        return self.format.size(math.prod(self.shape[1:]))

    def rows(self, part: int, parts: int) -> StoredTensor:
        """Return one of `parts` equal parts of the rows."""
        if not self.shape or self.shape[0] % parts:
            return self  # of a shape that is refused
        count = self.shape[0] // parts
        scale = self.scale
        if scale is not None and scale.shape == self.shape[:1]:
            scale = scale.rows(part, parts)
        start = self.start + part * count * self.row_bytes
        return replace(self, shape=(count, *self.shape[1:]), start=start, scale=scale)

    def read(self, path: Path, dtype: torch.dtype) -> torch.Tensor:
        """Return the numbers as `dtype`, on the host.

        A few rows at a time are read and converted, so that little lies in memory twice.
        """
        found = torch.empty(self.shape, dtype=dtype)
        rest = found.view(self.shape[0] if self.shape else 1, -1)
        for piece in self._pieces(path):
            rest[: len(piece)].copy_(piece)
            rest = rest[len(piece) :]
        return found

    def read_int8(self, path: Path, factors: torch.Tensor | None = None) -> Int8Rows:
        """Return a matrix [out, in] in int8: as it is stored where it can be.

        Args:
            factors: float32 [in], of the columns of a matrix that is not stored in int8.
        """
        kept = self._kept_int8(path) if self.format is INT8 else None
        pieces = self._pieces(path)
        return kept or Int8Rows.stacked([Int8Rows.of(piece, factors) for piece in pieces])

    def _kept_int8(self, path: Path) -> Int8Rows | None:
        """Return numbers and scales of a matrix in int8; None where one is out of bounds."""
        assert self.scale is not None
        factors = self.scale.read(path, torch.float32).flatten()
        numbers = self._numbers(path, 0, self.shape[0]).view(self.shape)
        if int(numbers.amin()) < -WEIGHT_LIMIT or not bool((factors > 0).all()):
            return None
        # Not 1 / factor: so a scale has the last bit too that it has if the floats are quantized.
        scales = torch.full_like(factors, WEIGHT_LIMIT) / factors / WEIGHT_LIMIT
        return Int8Rows(numbers, scales.expand(len(numbers)).contiguous())

    def _pieces(self, path: Path) -> Iterator[torch.Tensor]:
        """Yield a few rows at a time, [rows, numbers of a row], in some float format."""
        rows = self.shape[0] if self.shape else 1
        scales = None if self.scale is None else self.scale.read(path, torch.float32).view(-1, 1)
        step = max(1, AT_ONCE // max(1, math.prod(self.shape[1:])))
        for first in range(0, rows, step):
            count = min(step, rows - first)
            numbers = self._numbers(path, first, count).view(count, -1)
            if scales is not None:
                numbers = numbers / (scales if len(scales) == 1 else scales[first : first + step])
            yield numbers

    def _numbers(self, path: Path, first: int, count: int) -> torch.Tensor:
        """Return the numbers of some rows in one dimension."""
        size = count * self.row_bytes
        raw = np.fromfile(path, np.uint8, size, offset=self.start + first * self.row_bytes)
        if len(raw) != size:
            raise UnusableFile("became shorter while it was read", CUT)
        return self.format.decode(torch.from_numpy(raw).view(-1, self.format.group_bytes))


class StoredTensors(Mapping[str, torch.Tensor]):
    """Reads tensors of one file by name, onto `device` and as `dtype`."""

    def __init__(
        self,
        path: Path,
        places: Mapping[str, StoredTensor],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._path = path
        self._places = places
        self._device = device
        self._dtype = dtype

    @property
    def name(self) -> str:
        """The name of the file."""
        return self._path.name

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._places[name].read(self._path, self._dtype).to(self._device)

    def is_int8(self, name: str) -> bool:
        """Return whether a matrix is stored in int8."""
        return self._places[name].format is INT8

    def int8_rows(self, name: str, factors: torch.Tensor | None = None) -> Int8Rows:
        """Return a matrix [out, in] in int8: as it is stored where it can be.

        Args:
            factors: float32 [in], of the columns of a matrix that is not stored in int8.
        """
        return self._places[name].read_int8(self._path, factors)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor, which is not read for it."""
        return self._places[name].shape

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
