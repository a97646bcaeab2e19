"""Which matrices int8 changes most is told kind by kind."""

from __future__ import annotations

import pytest
import torch

from asr.engines.whisper.model import int8
from asr.engines.whisper.model.assembly import take
from asr.engines.whisper.model.features import log_mel
from asr.engines.whisper.model.kept_frames import KeptFrames
from asr.engines.whisper.model.weights import Packing
from benchmark.accuracy.quantization import Agreement, Spoken, kinds, logits
from tests.support import models


def test_agreement_counts_equal_tokens_and_the_largest_difference() -> None:
    agreement = Agreement()
    exact = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]])
    agreement.count(exact, exact.clone(), torch.tensor([1]))
    assert (agreement.divergence, agreement.lost) == (0, 0)
    agreement.count(exact, torch.tensor([[0.0, 2.0, 1.0], [3.0, 3.5, 0.0]]), torch.tensor([1]))
    assert agreement.divergence > 0
    assert (agreement.tokens, agreement.equal, agreement.largest) == (4, 3, 3.5)
    assert agreement.row("head")[:3] == ["head", "75.00", "3.50"]


@pytest.mark.skipif(not int8.is_usable(), reason="this CPU or torch has no int8")
def test_each_kind_of_matrix_is_in_int8_by_itself() -> None:
    model = models.random_model(models.TINY)
    exact = take(model.state_dict(), model.config)
    quantized = take(model.state_dict(), model.config, quantizes=True)
    found = dict(kinds(exact, quantized))
    widened = found["decoder: widen"]
    assert widened.decoder.layers[1].widen.packing is Packing.INT8
    assert widened.decoder.layers[1].narrow.packing is not Packing.INT8
    assert widened.encoder is exact.encoder
    assert found["encoder: narrow"].encoder.layers[0].narrow.packing is Packing.INT8
    assert widened.decoder.layers[1].feed_norm is quantized.decoder.layers[1].feed_norm
    assert found["decoder: tokens"].decoder.tokens is quantized.decoder.tokens
    assert len(found) == 4 + 7 + 3


@pytest.mark.skipif(not int8.is_usable(), reason="this CPU or torch has no int8")
def test_padding_of_which_some_is_computed_is_compared_too() -> None:
    model = models.random_model(models.TINY)
    exact, quantized = (models.checkpoint(model, models.TINY, quantizes=q) for q in (False, True))
    features = log_mel(exact.log_mel.pad([models.noise(0, 0.5)]), exact.log_mel)
    spoken = Spoken(features, torch.tensor([[50258, 11, 12, 13]]), 1, KeptFrames.of(25, 100))
    for checkpoint in (exact, quantized):
        whole, some = (logits(checkpoint.weights, spoken, each) for each in (True, False))
        assert whole.shape == some.shape == (4, models.TINY.vocabulary)
        assert 0 < (whole - some).norm() < 0.5 * whole.norm()
