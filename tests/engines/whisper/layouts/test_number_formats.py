"""Numbers of ggml are read as whisper.cpp writes them, bit for bit."""

from __future__ import annotations

import struct

import pytest
import torch

from asr.engines.whisper.layouts.number_formats import INT8, Q5_0, Q8_0, NumberFormat


def decoded(form: NumberFormat, *blocks: bytes) -> list[list[float]]:
    rows = [list(block) for block in blocks]
    return form.decode(torch.tensor(rows, dtype=torch.uint8)).tolist()  # type: ignore[no-any-return]


def test_a_block_of_q8_0_is_a_scale_and_32_numbers() -> None:
    numbers = list(range(-16, 16))
    block = struct.pack("<e32b", 0.5, *numbers)
    assert decoded(Q8_0, block) == [[number / 2 for number in numbers]]


@pytest.mark.parametrize("place", [0, 1, 15, 16, 23, 31])
def test_the_fifth_bits_of_q5_0_lie_apart_from_the_others(place: int) -> None:
    low = [0] * 16
    low[place % 16] = 0x0B if place < 16 else 0xB0
    block = struct.pack("<eI16B", 0.25, 1 << place, *low)
    [found] = decoded(Q5_0, block)
    expected = [-16 / 4] * 32
    expected[place] = (0x1B - 16) / 4
    assert found == expected


def test_blocks_have_scales_of_their_own() -> None:
    first, second = struct.pack("<e32b", 1.0, *[1] * 32), struct.pack("<e32b", -2.0, *[3] * 32)
    assert decoded(Q8_0, first, second) == [[1.0] * 32, [-6.0] * 32]


def test_the_size_of_numbers_is_known_before_they_are_read() -> None:
    assert [form.size(64) for form in (INT8, Q8_0, Q5_0)] == [64, 68, 44]
