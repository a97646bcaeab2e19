"""Matrix products in int8 are close to exact ones, and no row depends on another."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import pytest
import torch

from asr.engines.whisper.kernels import library
from asr.engines.whisper.model import forward, int8, onednn, weights
from asr.engines.whisper.model.assembly import take
from asr.engines.whisper.model.kv_cache import KVCache
from asr.engines.whisper.model.weights import Packing, linear, make_linear
from tests.support import models
from tests.support.models import recording, written
from tests.support.twins import Twins

pytestmark = pytest.mark.skipif(not int8.is_usable(), reason="this CPU or torch has no int8")


@pytest.fixture(autouse=True, params=["kernels", "torch"])
def computed_by(request: pytest.FixtureRequest) -> Iterator[str]:
    """Who multiplies, and runs whole layers where heads are as wide as the kernels want."""
    if request.param == "torch":
        request.getfixturevalue("without_kernels")
    elif not library.multiplies():
        pytest.skip("this CPU or system has no kernels")
    int8._levels.cache_clear()
    yield request.param
    int8._levels.cache_clear()


@pytest.fixture
def small(computed_by: str, tiny: Twins, wide_heads: Twins) -> Twins:
    return wide_heads if computed_by == "kernels" else tiny


OPERATORS = pytest.mark.parametrize("has_few_rows", [False, True])


@torch.inference_mode()
@OPERATORS
@pytest.mark.parametrize("gelu", [False, True])
def test_a_product_in_int8_is_close_to_the_exact_one(gelu: bool, has_few_rows: bool) -> None:
    matrix, bias = torch.randn(96, 64), torch.randn(96)
    quantized = make_linear(matrix, bias, Packing.INT8, has_few_rows)
    for x in (torch.randn(1, 64), torch.randn(64, 16).T, torch.randn(2, 30, 64)):
        expected = linear(x, weights.Linear(matrix, bias), gelu)
        found = linear(x, quantized, gelu)
        assert (found - expected).norm() < 0.03 * expected.norm()


@torch.inference_mode()
@OPERATORS
def test_what_gelu_gives_is_multiplied_more_exactly(has_few_rows: bool) -> None:
    matrix, bias = torch.randn(96, 256), torch.randn(96)
    rows = torch.nn.functional.gelu(torch.randn(64, 256) * torch.logspace(-2, 1, 64)[:, None])
    expected = linear(rows, weights.Linear(matrix, bias)) - bias
    errors = []
    for follows_gelu in (False, True):
        made = make_linear(matrix, bias, Packing.INT8, has_few_rows, follows_gelu)
        found = linear(rows, made) - bias
        alone = torch.cat([linear(row[None], made) for row in rows]) - bias
        assert torch.equal(found, alone)
        errors.append((found - expected).norm(dim=1))
    sizes = expected.norm(dim=1)
    assert (errors[1] < 0.06 * sizes).all()  # where nothing is far above 0.17, few steps are left
    assert errors[1][-20:].sum() < 0.8 * errors[0][-20:].sum()
    assert (errors[1][-20:] < 0.015 * sizes[-20:]).all()


@torch.inference_mode()
@OPERATORS
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("gelu", [False, True])
def test_a_result_in_bfloat16_is_that_in_float32(
    gelu: bool, has_bias: bool, has_few_rows: bool
) -> None:
    """Of rows of any size: a peak that is rounded down would turn the largest numbers around."""
    rows = torch.randn(600, 64) * torch.logspace(-8, 8, 600)[:, None]
    bias = torch.randn(96) if has_bias else None
    made = make_linear(torch.randn(96, 64), bias, Packing.INT8, has_few_rows)
    expected = linear(rows, made, gelu)
    found = linear(rows, made, gelu, torch.bfloat16)
    assert found.dtype is torch.bfloat16
    assert ((found - expected).norm(dim=1) < 0.02 * expected.norm(dim=1)).all()
    alone = torch.cat([linear(row[None], made, gelu, torch.bfloat16) for row in rows])
    assert torch.equal(found, alone)


@torch.inference_mode()
@OPERATORS
def test_the_largest_numbers_of_all_are_not_cut_off(has_few_rows: bool) -> None:
    ones = torch.ones(8, 512)
    found = linear(ones[:3], make_linear(ones, None, Packing.INT8, has_few_rows))
    assert torch.allclose(found, torch.full((3, 8), 512.0), rtol=1e-4)


@torch.inference_mode()
@OPERATORS
def test_rows_and_channels_of_zeros_are_the_bias(has_few_rows: bool) -> None:
    matrix, bias = torch.randn(96, 64), torch.randn(96)
    matrix[1] = 0
    made = make_linear(matrix, bias, Packing.INT8, has_few_rows)
    assert torch.equal(linear(torch.zeros(2, 64), made)[1], bias)
    assert torch.equal(linear(torch.ones(2, 64), made)[:, 1], bias[1].expand(2))


@torch.inference_mode()
@OPERATORS
@pytest.mark.parametrize("count", [2, 7, 16, 200])
def test_no_row_depends_on_the_rows_beside_it(count: int, has_few_rows: bool) -> None:
    made = make_linear(torch.randn(96, 64), torch.randn(96), Packing.INT8, has_few_rows)
    rows = torch.randn(count, 64) * torch.logspace(-3, 3, count)[:, None]
    together = linear(rows, made, gelu=True)
    alone = torch.cat([linear(row[None], made, gelu=True) for row in rows])
    assert torch.equal(together, alone)


@torch.inference_mode()
@OPERATORS
@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_a_number_that_is_none_is_none_in_the_whole_row_and_in_no_other(
    wrong: float, has_few_rows: bool
) -> None:
    made = make_linear(torch.randn(96, 64), torch.randn(96), Packing.INT8, has_few_rows)
    rows = torch.randn(3, 64)
    rows[1, 5] = wrong
    found = linear(rows, made)
    assert not found[1].isfinite().any()
    assert torch.equal(found[[0, 2]], linear(rows[[0, 2]], made))


def test_a_matrix_in_parts_is_quantized_as_the_whole_is() -> None:
    matrix = torch.randn(700, 64)
    whole = int8.Int8Rows.of(matrix * 0.125)
    parts = int8.Int8Rows.stacked([int8.Int8Rows.of(part) for part in matrix.split(250)])
    assert torch.equal(parts.numbers, whole.numbers)
    assert torch.equal(parts.scaled(0.125).scales, whole.scales)


@pytest.mark.usefixtures("without_kernels")
@torch.inference_mode()
def test_without_the_operator_for_few_rows_the_other_one_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(*_: object) -> None:
        raise AttributeError("no such operator")

    monkeypatch.setattr(int8.FbgemmMatrix, "pack", missing)
    matrix, x = torch.randn(96, 64), torch.randn(3, 64)
    few, many = (make_linear(matrix, None, Packing.INT8, each) for each in (True, False))
    assert isinstance(few.weight, int8.OneDnnMatrix)
    assert torch.equal(linear(x, few), linear(x, many))


def test_without_any_operator_matrices_stay_in_float(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "_is_exact", lambda *_: False)
    cpu = torch.device("cpu")
    assert weights.packing_of(cpu, torch.float32, quantizes=True) is not Packing.INT8


@pytest.mark.usefixtures("without_kernels")
@torch.inference_mode()
@pytest.mark.parametrize("is_fast", [False, True])
def test_the_encoder_attends_in_bfloat16_where_that_is_fast(
    monkeypatch: pytest.MonkeyPatch, tiny: Twins, is_fast: bool
) -> None:
    if is_fast and not onednn.is_usable(torch.bfloat16):
        pytest.skip("oneDNN computes no bfloat16 on this processor")
    attended: list[torch.dtype] = []
    exactly = onednn.attention

    def attention(query: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        attended.append(query.dtype)
        return exactly(query, *others)

    monkeypatch.setattr(onednn, "attention", attention)
    monkeypatch.setattr(onednn, "fuses_well", lambda: True)
    monkeypatch.setattr(onednn, "is_fast_in_bfloat16", lambda: is_fast)
    quantized = models.checkpoint(tiny.model, tiny.shape, quantizes=True).weights.encoder
    features = torch.randn(2, tiny.shape.mels, 200)
    attended.clear()  # whether the operators are usable was tried with them
    found = forward.encode(quantized, features)
    assert set(attended) == {torch.bfloat16 if is_fast else torch.float32}
    assert found.dtype is torch.float32
    expected = forward.encode(tiny.checkpoint.weights.encoder, features)
    assert (found - expected).norm() < 0.03 * expected.norm()
    alone = torch.cat([forward.encode(quantized, window) for window in features.split(1)])
    assert torch.equal(found, alone)


@pytest.mark.usefixtures("without_kernels")
@torch.inference_mode()
def test_an_encoder_that_takes_rows_in_parts_computes_the_same(
    monkeypatch: pytest.MonkeyPatch, tiny: Twins
) -> None:
    quantized = models.checkpoint(tiny.model, tiny.shape, quantizes=True).weights.encoder
    features = torch.randn(2, tiny.shape.mels, 200)
    whole = forward.encode(quantized, features)
    widths: list[int] = []
    normed = forward._normed

    def watched(x: torch.Tensor, norm: weights.Norm) -> torch.Tensor:
        widths.append(x.shape[-2])
        return normed(x, norm)

    monkeypatch.setattr(forward, "_normed", watched)
    monkeypatch.setattr(int8, "rows_at_once", lambda: 32)
    assert torch.equal(forward.encode(quantized, features), whole)
    assert {32, 4} <= set(widths)


@torch.inference_mode()
def test_a_decoded_rows_last_bits_do_not_depend_on_its_batch_mates(
    small: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = models.checkpoint(small.model, small.shape, quantizes=True).weights
    count, past = 7, 40
    tokens = torch.randint(0, 50_000, (count, past), generator=torch.Generator().manual_seed(0))
    encoded = forward.encode(loaded.encoder, torch.randn(count, small.shape.mels, 200))
    positions = torch.arange(count) * 5 + 5
    monkeypatch.setattr(forward, "READ_AT_ONCE", 16)
    together = KVCache.allocate(loaded, count)
    together.cross.store(0, encoded)
    for row in range(count):
        forward.prefill(loaded, together, row, tokens[row : row + 1])
    last = tokens[:, 0]
    found = forward.decode(loaded, together, last, positions, past)
    for row in range(count):
        alone = KVCache.allocate(loaded, 1)
        alone.cross.store(0, encoded[row : row + 1])
        forward.prefill(loaded, alone, 0, tokens[row : row + 1])
        one = slice(row, row + 1)
        length = int(positions[row]) + 1
        assert torch.equal(
            forward.decode(loaded, alone, last[one], positions[one], length), found[one]
        )


def test_a_windows_tokens_and_probabilities_do_not_depend_on_its_batch_mates(small: Twins) -> None:
    loaded = models.checkpoint(small.model, small.shape, quantizes=True)
    assert loaded.weights.packing is Packing.INT8
    asked = models.windows(6)
    engine = recording(loaded, slots=6)
    together = written(engine, asked)
    logprobs = [engine.sequences[window].logprobs for window in asked]
    for slots, order in ((1, asked), (3, asked[::-1])):
        other = recording(loaded, slots=slots, encoder_batch=1)
        written(other, order)
        for window, tokens, expected in zip(asked, together, logprobs, strict=True):
            assert other.sequences[window].tokens == tokens
            assert other.sequences[window].logprobs == pytest.approx(expected, abs=1e-3)


def test_no_float_copy_of_a_packed_matrix_stays_in_memory(small: Twins) -> None:
    stored = Watched(small.model.state_dict())
    taken = take(stored, small.model.config, quantizes=True)
    assert taken.packing is Packing.INT8
    held = {name for name, tensor in stored.given.items() if tensor() is not None}
    convolutions = {f"model.encoder.conv{number}.weight" for number in (1, 2)}
    if taken.encoder.conv1.weight.dtype is torch.bfloat16:
        convolutions = set()
    positions = {f"model.{side}.embed_positions.weight" for side in ("encoder", "decoder")}
    assert {name for name in held if stored[name].ndim > 1} == convolutions | positions
    assert taken.decoder.tokens.dtype is torch.uint8


class Watched(dict[str, torch.Tensor]):
    """Gives copies of tensors, and knows which of them still exist."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        super().__init__(tensors)
        self.given: dict[str, weakref.ref[torch.Tensor]] = {}

    def __getitem__(self, name: str) -> torch.Tensor:
        copied = super().__getitem__(name).clone()
        self.given.setdefault(name, weakref.ref(copied))
        return copied
