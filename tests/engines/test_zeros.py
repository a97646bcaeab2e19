"""Zeros take memory for what is written alone, and some can be given back."""

from __future__ import annotations

import mmap

import pytest
import torch

from asr.engines.zeros import ZeroedPages, zeros
from tests.support.resident import resident_bytes

CPU = torch.device("cpu")
MEGABYTE = 2**20


def test_zeros_take_memory_when_they_are_written_to() -> None:
    before = resident_bytes()
    made = zeros((64, 2**18), CPU, torch.float32)  # a row is 1 MB
    assert resident_bytes() - before < 16 * 2**20
    made[:, 5] = 1.0
    assert made.sum() == 64.0


def test_only_pages_that_are_written_to_take_memory_until_they_are_given_back() -> None:
    before = resident_bytes()
    made = ZeroedPages.allocate((64, 2**18), CPU, torch.float32)  # a row is 1 MB
    made.tensor[:, 5] = 1.0
    assert made.tensor.sum() == 64.0
    assert resident_bytes() - before < 16 * MEGABYTE
    made.tensor.fill_(2.0)
    assert resident_bytes() - before > 48 * MEGABYTE
    made.give_back()
    assert resident_bytes() - before < 16 * MEGABYTE
    assert not made.tensor[::7, ::99].any()
    made.tensor[3] = 3.0
    assert made.tensor[3, -1] == 3.0


def test_zeros_are_the_same_where_the_size_of_pages_cannot_be_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(mmap, "MADV_NOHUGEPAGE", raising=False)
    made = ZeroedPages.allocate((3, 5), CPU, torch.float32)
    made.tensor[1] = 2.0
    made.give_back()
    assert torch.equal(made.tensor, torch.tensor([0.0, 2.0, 0.0])[:, None].expand(3, 5))


def test_a_kernel_without_large_pages_gives_zeros_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MADV_HUGEPAGE", "MADV_NOHUGEPAGE"):
        monkeypatch.setattr(mmap, name, 12345, raising=False)
    made = zeros((8, 2**18), CPU, torch.float32)
    made[3] = 1.0
    assert made.sum() == 2**18
    assert not ZeroedPages.allocate((3, 5), CPU, torch.float32).tensor.any()
