"""The forward functions compute what Transformers' modules compute."""

from __future__ import annotations

import copy

import pytest
import torch

from asr.engines.whisper.model import forward, onednn
from asr.engines.whisper.model.assembly import take
from asr.engines.whisper.model.features import log_mel
from asr.engines.whisper.model.kv_cache import KVCache
from asr.engines.whisper.model.weights import linear
from asr.pcm import SAMPLE_RATE
from tests.support.models import noise
from tests.support.twins import Twins

pytestmark = pytest.mark.both_forms


def features(twins: Twins, count: int) -> torch.Tensor:
    settings = twins.checkpoint.log_mel
    return log_mel(settings.pad([noise(seed, 1 + seed / 4) for seed in range(count)]), settings)


def extracted(twins: Twins, count: int) -> torch.Tensor:
    found = [noise(seed, 1 + seed / 4) for seed in range(count)]
    return twins.extractor(found, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features


@torch.inference_mode()
def test_encoder_output_equals_transformers(twins: Twins) -> None:
    expected = twins.model.get_encoder()(extracted(twins, 3)).last_hidden_state
    found = forward.encode(twins.checkpoint.weights.encoder, features(twins, 3))
    assert torch.allclose(found, expected, atol=1e-4)


@torch.inference_mode()
def test_logits_equal_transformers_at_every_position_whatever_the_slot(
    twins: Twins, keeps_encoder_output: bool
) -> None:
    loaded, count, first = twins.checkpoint.weights, 2, 3
    tokens = torch.randint(0, 50_000, (count, 20))
    expected = twins.model(extracted(twins, count), decoder_input_ids=tokens).logits
    encoded = forward.encode(loaded.encoder, features(twins, count))
    cache = KVCache.allocate(loaded, 5, keeps_encoder_output)
    cache.cross.store(first, encoded)
    hidden = forward.prefill(loaded, cache, first, tokens[:, :8])
    assert torch.allclose(linear(hidden, loaded.decoder.head), expected[:, :8], atol=1e-4)
    for target, source in enumerate(range(first, first + count)):
        cache.move(source, target, 8)
    for position in range(8, 20):
        positions = torch.full((count,), position)
        hidden = forward.decode(loaded, cache, tokens[:, position], positions, length=20)
        logits = linear(hidden, loaded.decoder.head)
        assert torch.allclose(logits, expected[:, position], atol=1e-4), position


@torch.inference_mode()
def test_rows_at_different_positions_do_not_disturb_each_other(
    tiny: Twins, keeps_encoder_output: bool
) -> None:
    loaded = tiny.checkpoint.weights
    tokens = torch.randint(0, 50_000, (2, 12))
    expected = tiny.model(extracted(tiny, 2), decoder_input_ids=tokens).logits
    cache = KVCache.allocate(loaded, 2, keeps_encoder_output)
    cache.cross.store(0, forward.encode(loaded.encoder, features(tiny, 2)))
    padded = tokens[:, :9].clone()
    padded[1, 4:] = 0  # the second row's opening is shorter
    forward.prefill(loaded, cache, 0, padded)
    places = torch.tensor([9, 4])
    for step in range(3):
        positions = places + step
        hidden = forward.decode(loaded, cache, tokens[[0, 1], positions], positions, length=12)
        found = linear(hidden, loaded.decoder.head)
        assert torch.allclose(found, expected[[0, 1], positions], atol=1e-4), step


@torch.inference_mode()
def test_without_packed_linears_the_result_is_the_same(
    tiny: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(onednn, "pack", missing)
    assert not onednn.is_usable(torch.float32)
    loaded = take(tiny.model.state_dict(), tiny.model.config)
    assert not loaded.decoder.head.is_packed
    expected = tiny.model.get_encoder()(extracted(tiny, 1)).last_hidden_state
    assert torch.allclose(forward.encode(loaded.encoder, features(tiny, 1)), expected, atol=1e-4)


@torch.inference_mode()
def test_bfloat16_differs_by_rounding_alone(tiny: Twins) -> None:
    given = copy.deepcopy(tiny.model).to(torch.bfloat16).state_dict()
    taken = take(given, tiny.model.config)
    found = forward.encode(taken.encoder, features(tiny, 2).to(torch.bfloat16)).float()
    expected = forward.encode(tiny.checkpoint.weights.encoder, features(tiny, 2))
    error = (found - expected).norm() / expected.norm()
    assert 0 < error < 0.03
