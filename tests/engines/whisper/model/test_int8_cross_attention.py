"""Attention to 8-bit keys and values is close to the exact one, and no row depends on another."""

from __future__ import annotations

import pytest
import torch

from asr.engines.whisper.model import byte_rows, int8
from asr.engines.whisper.model.cross_attention import CrossAttention, KeysAndValues
from asr.engines.whisper.model.int8_cross_attention import FEW_QUERIES, QuantizedKeysAndValues
from asr.engines.whisper.model.kept_frames import KeptFrames
from asr.engines.whisper.model.weights import Packing, Weights
from tests.support import models
from tests.support.twins import Twins

FRAMES = 100  # of these models' windows; a head is 16 wide

pytestmark = pytest.mark.skipif(
    not byte_rows.is_usable(), reason="this CPU or torch has no sums of 8-bit rows"
)


@pytest.fixture(scope="module")
def loaded() -> Weights:
    return Twins.of(models.TINY).checkpoint.weights


def encoded(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, FRAMES, 48, generator=torch.Generator().manual_seed(seed))


def stored(cross: CrossAttention) -> CrossAttention:
    cross.store(1, encoded(2))
    cross.move(1, 0)
    return cross


@torch.inference_mode()
@pytest.mark.parametrize("queries", [1, FEW_QUERIES, FEW_QUERIES + 1])
def test_8_bits_answer_like_floats(loaded: Weights, queries: int) -> None:
    exact = stored(KeysAndValues.allocate(loaded, 4))
    found = stored(QuantizedKeysAndValues.allocate(loaded, 4))
    query = torch.randn(2, 3, queries, 16)
    for rows in (slice(1, 3), slice(0, 2)):
        expected, answer = (cross.attend(1, query, rows) for cross in (exact, found))
        assert answer.shape == expected.shape
        assert (answer - expected).norm() < 0.02 * expected.norm()
    expected, answer = (cross.keys(1, 2, slot=2, frames=70) for cross in (exact, found))
    assert answer.shape == expected.shape
    assert (answer - expected).norm() < 0.01 * expected.norm()


@torch.inference_mode()
@pytest.mark.parametrize("firsts", [[FRAMES], [FRAMES, 17, 64, 2, 97]])
@pytest.mark.parametrize("count", [2, 5, 16])
def test_no_row_depends_on_the_rows_beside_it(
    loaded: Weights, count: int, firsts: list[int]
) -> None:
    cross = QuantizedKeysAndValues.allocate(loaded, count)
    windows = []
    for slot in range(count):
        kept = KeptFrames(FRAMES, firsts[slot % len(firsts)])
        windows.append((encoded(1, slot)[:, kept.places] * 10.0**slot, kept))
        cross.store(slot, *windows[-1])
    query = torch.randn(count, 3, 1, 16)
    together = cross.attend(0, query, slice(count))
    for slot, window in enumerate(windows):
        alone = QuantizedKeysAndValues.allocate(loaded, 1)
        alone.store(0, *window)
        one = query[slot : slot + 1]
        assert torch.equal(together[slot], alone.attend(0, one, slice(1))[0])
        several = cross.attend(0, one.expand(-1, -1, 3, -1), slice(slot, slot + 1))
        assert torch.equal(together[slot].expand(3, -1), several[0])


@torch.inference_mode()
@pytest.mark.parametrize("queries", [1, FEW_QUERIES + 1])
def test_a_frame_that_stands_for_others_counts_as_often(loaded: Weights, queries: int) -> None:
    """Windows of which frames are kept lie among whole ones, where a longer one lay before."""
    firsts = (64, 41, FRAMES, 98)
    exact, found = KeysAndValues.allocate(loaded, 4), QuantizedKeysAndValues.allocate(loaded, 4)
    found.store(0, encoded(4) * torch.nan)
    for slot, first in enumerate(firsts):
        kept = KeptFrames(FRAMES, first)
        some = encoded(1, slot)[:, kept.places]
        exact.store(slot, some.repeat_interleave(kept.log_counts.exp().round().int(), dim=1))
        found.store(slot, some, kept)
    query = torch.randn(4, 3, queries, 16)
    expected, answer = (cross.attend(1, query, slice(4)) for cross in (exact, found))
    assert (answer - expected).norm() < 0.02 * expected.norm()
    for slot, first in enumerate(firsts):
        expected_keys, keys = (cross.keys(1, 2, slot, first) for cross in (exact, found))
        assert (keys - expected_keys).norm() < 0.01 * expected_keys.norm()
    found.move(1, 2)
    moved = found.attend(1, query[1:2].expand(4, -1, -1, -1), slice(4))
    assert torch.equal(moved[1], answer[1])
    assert torch.equal(moved[2], answer[1])


def test_a_window_is_stored_with_as_many_frames_as_are_kept_of_it(loaded: Weights) -> None:
    cross = QuantizedKeysAndValues.allocate(loaded, 1)
    with pytest.raises(AssertionError):
        cross.store(0, encoded(1), KeptFrames(FRAMES, 20))


@pytest.mark.skipif(not int8.is_usable(), reason="this CPU or torch has no int8")
def test_without_the_operators_keys_values_and_embeddings_stay_in_float(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(byte_rows, "is_usable", lambda: False)
    model = models.random_model(models.TINY)
    quantized = models.checkpoint(model, models.TINY, quantizes=True)
    assert quantized.weights.packing is Packing.INT8
    assert quantized.weights.decoder.tokens.dtype is torch.float16
    engine = models.recording(quantized)
    assert isinstance(engine._batch._runner.cache.cross, KeysAndValues)
    assert all(len(tokens) > 1 for tokens in models.written(engine, models.windows(3)))
