"""Keys and values that are kept, and those that are computed again, are the same."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest
import torch

from asr.engines.whisper.model.cross_attention import EncoderOutput, KeysAndValues, zeros
from tests.support import models
from tests.support.twins import Twins


@torch.inference_mode()
@pytest.mark.parametrize("queries", [1, 16, 17])  # a head is 16 wide
def test_both_forms_of_the_encoders_output_answer_alike(queries: int) -> None:
    loaded = Twins.of(models.TINY, keeps_encoder_output=True).checkpoint.weights
    query = torch.randn(2, 3, queries, 16)
    answers = []
    for form in (KeysAndValues, EncoderOutput):
        cross = form.allocate(loaded, 4)
        cross.store(1, torch.linspace(-2, 2, 2 * 100 * 48).sin().view(2, 100, 48))
        cross.move(1, 0)
        keys = cross.keys(1, 2, slot=2, frames=70)
        answers.append(
            (cross.attend(1, query, slice(1, 3)), cross.attend(0, query[:1], slice(1)), keys)
        )
    for one, other in zip(*answers, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
        assert one.std() > 0.01


@pytest.mark.parametrize("has_gaps", [False, True])
def test_zeros_take_memory_when_they_are_written_to(has_gaps: bool) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("the system has no /proc")
    before = resident_bytes()
    made = zeros((64, 2**18), torch.device("cpu"), torch.float32, has_gaps)  # a row is 1 MB
    assert resident_bytes() - before < 16 * 2**20
    made[:, 5] = 1.0
    if has_gaps:
        assert resident_bytes() - before < 16 * 2**20
    assert made.sum() == 64.0


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_zeros_are_the_same_where_the_size_of_pages_cannot_be_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(mmap, "MADV_NOHUGEPAGE", raising=False)
    made = zeros((3, 5), torch.device("cpu"), torch.float32, has_gaps=True)
    made[1] = 2.0
    assert torch.equal(made, torch.tensor([0.0, 2.0, 0.0])[:, None].expand(3, 5))
