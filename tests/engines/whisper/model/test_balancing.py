"""Balanced columns change no product, and lose less in int8."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from asr.engines.whisper.model import int8
from asr.engines.whisper.model.assembly import take
from asr.engines.whisper.model.balancing import column_factors, divided
from asr.engines.whisper.model.weights import Norm, Packing, linear, make_linear
from tests.support import models


def given(norm: Norm, x: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, norm.epsilon)


def uneven() -> tuple[Norm, torch.Tensor]:
    """A norm with a column that is a hundred times as large as others, and a matrix behind it."""
    weight = torch.ones(64)
    weight[7] = 100
    matrix = torch.randn(96, 64)
    matrix[:, 7] /= 50
    return Norm(weight, torch.randn(64) / 10), matrix


def test_no_product_changes() -> None:
    norm, matrix = uneven()
    factors = column_factors(norm, matrix.abs().amax(dim=0))
    x = torch.randn(30, 64)
    expected = given(norm, x) @ matrix.T
    found = given(divided(norm, factors), x) @ (matrix * factors).T
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert factors[7] > 10 * factors[:7].max()


@torch.inference_mode()
@pytest.mark.skipif(not int8.is_usable(), reason="this CPU or torch has no int8")
def test_a_large_column_no_longer_takes_the_steps_of_all_others() -> None:
    norm, matrix = uneven()
    factors = column_factors(norm, matrix.abs().amax(dim=0))
    x = torch.randn(30, 64)
    expected = given(norm, x) @ matrix.T
    plain = linear(given(norm, x), make_linear(matrix, None, Packing.INT8))
    balanced = linear(
        given(divided(norm, factors), x), make_linear(matrix * factors, None, Packing.INT8)
    )
    assert (balanced - expected).norm() < 0.25 * (plain - expected).norm()


@pytest.mark.parametrize("empty", [slice(None), slice(1)])
def test_columns_of_zeros_have_factors_too(empty: slice) -> None:
    weight, peaks = torch.ones(8), torch.ones(8)
    weight[empty] = peaks[empty] = 0
    norm = Norm(weight, torch.zeros(8))
    for factors in (column_factors(norm, torch.ones(8)), column_factors(norm, peaks)):
        assert factors.isfinite().all()
        assert (factors > 0).all()


@pytest.mark.skipif(not int8.is_usable(), reason="this CPU or torch has no int8")
def test_every_norm_is_balanced_with_the_matrices_behind_it() -> None:
    model = copy.deepcopy(models.random_model(models.TINY))
    for name, parameter in model.named_parameters():
        if "norm.weight" in name:
            parameter.data = torch.logspace(-1, 1, len(parameter))
    exact = take(model.state_dict(), model.config)
    quantized = take(model.state_dict(), model.config, quantizes=True)
    for ours, theirs, names in (
        (exact.encoder.layers[0], quantized.encoder.layers[0], ("attention", "feed")),
        (exact.decoder.layers[1], quantized.decoder.layers[1], ("attention", "cross", "feed")),
    ):
        for name in names:
            before, after = (vars(layer)[f"{name}_norm"].weight for layer in (ours, theirs))
            assert after[-1] / after[0] < 0.7 * before[-1] / before[0]
    before, after = (each.decoder.norm.weight for each in (exact, quantized))
    assert after[-1] / after[0] < 0.7 * before[-1] / before[0]
    assert torch.equal(exact.encoder.norm.weight, quantized.encoder.norm.weight)
