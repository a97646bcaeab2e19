"""Matrix products in int8 are close to exact ones, and no row depends on another."""

from __future__ import annotations

import pytest
import torch

from asr.engines.whisper.model import int8, weights
from asr.engines.whisper.model.weights import Packing, linear, make_linear

pytestmark = pytest.mark.skipif(not int8.is_usable(), reason="this CPU or torch has no int8")


def layer(outputs: int = 96, inputs: int = 64) -> weights.Linear:
    return make_linear(torch.randn(outputs, inputs), torch.randn(outputs), Packing.INT8)


@torch.inference_mode()
@pytest.mark.parametrize("gelu", [False, True])
def test_a_product_in_int8_is_close_to_the_exact_one(gelu: bool) -> None:
    matrix, bias = torch.randn(96, 64), torch.randn(96)
    quantized = make_linear(matrix, bias, Packing.INT8)
    for x in (torch.randn(1, 64), torch.randn(64, 16).T, torch.randn(2, 30, 64)):
        expected = linear(x, weights.Linear(matrix, bias), gelu)
        found = linear(x, quantized, gelu)
        assert (found - expected).norm() < 0.03 * expected.norm()


@torch.inference_mode()
def test_the_largest_numbers_of_all_are_not_cut_off() -> None:
    ones = torch.ones(8, 512)
    found = linear(ones[:3], make_linear(ones, None, Packing.INT8))
    assert torch.allclose(found, torch.full((3, 8), 512.0), rtol=0.01)


@torch.inference_mode()
def test_a_row_of_zeros_is_the_bias() -> None:
    made = layer()
    assert made.bias is not None
    assert torch.equal(linear(torch.zeros(2, 64), made)[1], made.bias)


@torch.inference_mode()
@pytest.mark.parametrize("count", [2, 7, 16, 200])
def test_no_row_depends_on_the_rows_beside_it(count: int) -> None:
    made = layer()
    rows = torch.randn(count, 64) * torch.logspace(-3, 3, count)[:, None]
    together = linear(rows, made, gelu=True)
    alone = torch.cat([linear(row[None], made, gelu=True) for row in rows])
    assert torch.equal(together, alone)
