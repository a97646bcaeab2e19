"""Keys and values that are kept, and those that are computed again, are the same."""

from __future__ import annotations

import pytest
import torch

from asr.engines.whisper.model.cross_attention import EncoderOutput, KeysAndValues
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
