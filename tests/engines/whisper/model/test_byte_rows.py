"""Rows of 8-bit numbers keep what they are made of, and are summed as floats are."""

from __future__ import annotations

import pytest
import torch

from asr.engines.whisper.model import byte_rows

needed = pytest.mark.skipif(
    not byte_rows.is_usable(), reason="this CPU or torch has no sums of 8-bit rows"
)


@needed
def test_rows_keep_their_numbers_to_a_255th_of_their_range() -> None:
    numbers = torch.randn(3, 5, 40) * torch.logspace(-3, 3, 5)[:, None]
    packed = byte_rows.pack(numbers)
    assert packed.shape == (3, 5, 40 + byte_rows.RANGE_BYTES)
    assert packed.dtype is torch.uint8
    ranges = numbers.amax(dim=-1, keepdim=True) - numbers.amin(dim=-1, keepdim=True)
    assert ((byte_rows.unpack(packed) - numbers).abs() <= 0.51 / 255 * ranges).all()


@needed
def test_sums_are_of_the_rows_that_are_named_as_often_as_they_are() -> None:
    table = torch.randn(10, 24)
    packed = byte_rows.pack(table)
    rows = torch.tensor([9, 0, 0, 3, 7], dtype=torch.int32)
    starts = torch.tensor([0, 3, 3, 5], dtype=torch.int32)  # the second sum is empty
    weights = torch.tensor([1.0, 2.0, -0.5, 0.0, 3.0])
    sums = byte_rows.summed(packed, rows, starts, weights)
    expected = torch.stack([table[9] + 1.5 * table[0], torch.zeros(24), 3.0 * table[7]])
    assert torch.allclose(sums, expected, atol=0.1)


@pytest.mark.parametrize("operator", ["pack", "unpack", "summed"])
def test_a_missing_or_wrong_operator_is_not_used(
    monkeypatch: pytest.MonkeyPatch, operator: str
) -> None:
    def missing(*_: object) -> None:
        raise AttributeError("no such operator")

    monkeypatch.setattr(byte_rows, operator, missing)
    assert not byte_rows.is_usable.__wrapped__()
    monkeypatch.undo()
    exact = getattr(byte_rows, operator)
    if operator != "pack" and byte_rows.is_usable():
        monkeypatch.setattr(byte_rows, operator, lambda *given: 1.5 * exact(*given))
        assert not byte_rows.is_usable.__wrapped__()
