"""A matrix multiplies alike in each form in which it may be held."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from asr.engines.whisper.model import int8, onednn
from asr.engines.whisper.model.weights import Packing, linear, make_linear, packing_of

CPU = torch.device("cpu")


@torch.inference_mode()
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("packing", Packing)
def test_every_packing_multiplies_alike(packing: Packing, gelu: bool) -> None:
    if packing is not Packing.PLAIN and packing_of(CPU, torch.float32, True) is Packing.PLAIN:
        pytest.skip("this CPU or torch packs no matrices")
    matrix, bias, x = torch.randn(96, 64), torch.randn(96), torch.randn(2, 5, 64)
    layer = make_linear(matrix, bias, packing)
    expected = F.linear(x, matrix, bias)
    found = linear(x, layer, gelu)
    assert layer.is_packed == (packing is not Packing.PLAIN)
    assert torch.allclose(found, F.gelu(expected) if gelu else expected, atol=0.5, rtol=0.03)


def test_a_cpu_without_packed_products_has_plain_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "is_usable", lambda _: False)
    assert packing_of(CPU, torch.float32, quantizes=True) is Packing.PLAIN


@pytest.mark.skipif(not int8.is_usable(), reason="this CPU or torch has no int8")
def test_a_matrix_in_int8_is_packed_as_it_is() -> None:
    matrix, x = torch.randn(96, 64), torch.randn(3, 64)
    given = make_linear(int8.Int8Rows.of(matrix), None, Packing.INT8)
    assert torch.equal(linear(x, given), linear(x, make_linear(matrix, None, Packing.INT8)))
