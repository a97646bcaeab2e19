"""Tensors of zeros that take memory on a CPU only when they are written to."""

from __future__ import annotations

import contextlib
import math
import mmap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

LARGE = 2**22  # So many bytes get pages of their own.


def zeros(shape: Sequence[int], device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Allocate zeros; on a CPU their memory is taken only when it is first written to.

    `torch.zeros` writes to all of it at once: 16 slots of a small model took 2.3 GB for one window.
    """
    size = math.prod(shape) * dtype.itemsize
    if device.type != "cpu" or not size:
        return torch.zeros(shape, device=device, dtype=dtype)
    if size < LARGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.from_numpy(np.zeros(size, np.uint8)).view(dtype).view(shape)
    # The C library would take them from what was freed, if it has so much, and write zeros to it.
    pages = _pages(size, mmap.MADV_HUGEPAGE)  # as NumPy asks for
    return torch.from_numpy(np.frombuffer(pages, np.uint8)).view(dtype).view(shape)


@dataclass(frozen=True)
class ZeroedPages:
    """A tensor that takes memory only for the pages that are written to.

    Pages are of the usual size, 4 KB: NumPy asks for those of 2 MB, which take the gaps, too.
    """

    tensor: torch.Tensor
    pages: mmap.mmap | None  # None: on a GPU, or where the system knows no such pages

    @classmethod
    def allocate(
        cls, shape: Sequence[int], device: torch.device, dtype: torch.dtype
    ) -> ZeroedPages:
        size = math.prod(shape) * dtype.itemsize
        if device.type != "cpu" or not size or not hasattr(mmap, "MADV_NOHUGEPAGE"):
            return cls(zeros(shape, device, dtype), None)
        pages = _pages(size, mmap.MADV_NOHUGEPAGE)
        content = torch.from_numpy(np.frombuffer(pages, np.uint8))
        return cls(content.view(dtype).view(shape), pages)

    def give_back(self) -> None:
        """Give the memory back: the tensor is zero again. On a GPU it stays as it is."""
        if self.pages is not None:
            self.pages.madvise(mmap.MADV_DONTNEED)


def _pages(size: int, advice: int) -> mmap.mmap:
    """Allocate zeros in pages of their own, of a size that the system is asked for."""
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel without such pages
        pages.madvise(advice)
    return pages
