"""Packed layers compute what plain ones do."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from asr.engines.whisper.model import onednn, weights
from asr.engines.whisper.model.weights import linear


def skip_without_onednn(dtype: torch.dtype) -> None:
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this torch has no oneDNN")
    if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("oneDNN computes no bfloat16 on this processor")


@torch.inference_mode()
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-4), (torch.bfloat16, 0.05)])
def test_packed_linears_compute_what_plain_ones_do(dtype: torch.dtype, rounding: float) -> None:
    skip_without_onednn(dtype)
    assert onednn.is_usable(dtype)
    matrix, bias = torch.randn(96, 64).to(dtype), torch.randn(96).to(dtype)
    plain = weights.Linear(matrix, bias)
    packed = weights.make_linear(matrix, bias, weights.Packing.ONEDNN)
    for x in (torch.randn(1, 64), torch.randn(64, 16).T, torch.randn(2, 30, 64)):
        for gelu in (False, True):
            expected, found = (linear(x.to(dtype), layer, gelu) for layer in (plain, packed))
            assert torch.allclose(found.float(), expected.float(), atol=rounding, rtol=rounding)


@torch.inference_mode()
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-6), (torch.bfloat16, 0.02)])
@pytest.mark.parametrize("frames", [1, 100, 1500])
@pytest.mark.parametrize("is_biased", [False, True])
def test_packed_attention_computes_what_plain_attention_does(
    dtype: torch.dtype, rounding: float, frames: int, is_biased: bool
) -> None:
    skip_without_onednn(dtype)
    assert onednn.is_usable(dtype)
    projected = torch.randn(2, frames, 3, 4, 16).to(dtype)  # strided as the model's own
    query, key, value = projected.transpose(1, 3).unbind(2)
    bias = torch.linspace(-2, 2, frames) if is_biased else None
    found = onednn.attention(query, key, value, bias).float()
    exact = (part.float() for part in (query, key, value))
    mask = None if bias is None else bias[None]
    expected = F.scaled_dot_product_attention(*exact, attn_mask=mask, scale=1.0)
    assert (found - expected).norm() <= rounding * expected.norm()


@pytest.mark.parametrize(
    ("name", "units", "expected"),
    [
        ("AMD EPYC", {"avx512_bf16"}, True),
        ("AMD EPYC", set(), False),
        ("Intel(R) Xeon(R)", {"avx512_bf16"}, False),
        ("Intel(R) Xeon(R)", {"avx512_bf16", "amx_bf16"}, True),
        (None, {"avx512_bf16"}, False),
    ],
)
def test_bfloat16_is_fast_where_the_processor_has_units_of_twice_the_rate(
    monkeypatch: pytest.MonkeyPatch, name: str | None, units: set[str], expected: bool
) -> None:
    has: dict[str, object] = {"avx512_f": True, **dict.fromkeys(units, True)}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has | {"cpu_name": name})
    monkeypatch.setattr(onednn, "fuses_well", lambda: True)
    monkeypatch.setattr(onednn, "is_usable", lambda _: True)
    assert onednn.is_fast_in_bfloat16.__wrapped__() is expected
