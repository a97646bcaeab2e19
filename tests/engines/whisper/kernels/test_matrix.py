"""Products are those of whole numbers, for any sizes, and depend on no rows and threads."""

from __future__ import annotations

import pytest
import threadpoolctl
import torch
import torch.nn.functional as F  # noqa: N812

from asr.engines.whisper.kernels import library
from asr.engines.whisper.kernels.matrix import KernelMatrix
from asr.engines.whisper.model import int8

pytestmark = pytest.mark.skipif(not library.multiplies(), reason="no kernels on this machine")

OPENMP = threadpoolctl.ThreadpoolController().select(user_api="openmp")


def quantized(rows: torch.Tensor, levels: int8.Levels) -> tuple[torch.Tensor, torch.Tensor]:
    """Whole numbers of rows, and what one of their levels is, by arithmetic of 64 bits."""
    rows = rows.double()
    least = -rows.amin(dim=1, keepdim=True) * levels.most / levels.least
    peak = torch.maximum(rows.amax(dim=1, keepdim=True), least).clamp_(min=int8.SMALLEST)
    return (rows * (levels.most / peak)).round(), peak / levels.most


@pytest.mark.parametrize("levels", [int8.SYMMETRIC[0], int8.AFTER_GELU[0]])
@pytest.mark.parametrize("inputs", [16, 48, 768])
@pytest.mark.parametrize("outputs", [1, 15, 16, 17, 33, 51])
def test_products_are_those_of_whole_numbers(
    inputs: int, outputs: int, levels: int8.Levels
) -> None:
    numbers = torch.randint(-127, 128, (outputs, inputs), dtype=torch.int8)
    scales, bias = torch.rand(outputs) + 0.1, torch.randn(outputs)
    matrix = KernelMatrix.pack(numbers, scales, (levels.zero, levels.most, levels.least))
    for count in (1, 2, 11, 12, 13, 24, 47, 48, 49, 131):
        rows = torch.randn(count, inputs) * torch.logspace(-3, 3, count)[:, None]
        if levels in int8.AFTER_GELU:
            rows = F.gelu(rows)
        whole, factors = quantized(rows, levels)
        expected = whole @ numbers.double().T * scales.double() * factors
        found = matrix.multiply(rows, None)
        off = (found - expected).abs().amax(dim=1)
        step = factors.squeeze(1) * 127 * scales.max()  # A number in the middle may go either way.
        assert (off <= 2.01 * step).all()
        assert off.median() <= 1e-5 * expected.abs().amax(dim=1).median() + step.median() * 0.01
        biased = matrix.multiply(rows, bias)
        assert torch.allclose(biased, found + bias, rtol=1e-4, atol=1e-4)
        curved = matrix.multiply(rows, bias, gelu=True)
        assert torch.allclose(curved, F.gelu(biased), rtol=1e-5, atol=2e-6 * biased.abs().max())


def test_a_product_does_not_depend_on_the_number_of_threads() -> None:
    rows = int8.Int8Rows.of(torch.randn(70, 64))
    matrix, bias = KernelMatrix.pack(rows.numbers, rows.scales, (128, 127, 127)), torch.randn(70)
    for count in (1, 13, 200):
        x = torch.randn(count, 64)
        results = []
        for threads in (1, 2, 3, 8):
            with OPENMP.limit(limits=threads):
                results.append(matrix.multiply(x, bias, gelu=True))
        assert all(torch.equal(result, results[0]) for result in results)


def test_a_matrix_of_other_sizes_is_not_packed() -> None:
    with pytest.raises(RuntimeError, match="24"):
        KernelMatrix.pack(torch.zeros(4, 24, dtype=torch.int8), torch.ones(4), (128, 127, 127))
    assert not isinstance(int8.pack(int8.Int8Rows.of(torch.randn(4, 24)), True), KernelMatrix)
