"""The forward functions compute what Transformers' modules compute."""

from __future__ import annotations

import copy

import pytest
import torch

from asr.engines.whisper.model import forward, onednn, weights
from asr.engines.whisper.model.cross_attention import EncoderOutput, KeysAndValues
from asr.engines.whisper.model.features import log_mel
from asr.engines.whisper.model.kv_cache import KVCache, slot_bytes
from asr.engines.whisper.model.weights import linear, take
from asr.pcm import SAMPLE_RATE
from tests.support import models
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
    twins: Twins, keeps_whole: bool
) -> None:
    loaded, count, first = twins.checkpoint.weights, 2, 3
    tokens = torch.randint(0, 50_000, (count, 20))
    expected = twins.model(extracted(twins, count), decoder_input_ids=tokens).logits
    encoded = forward.encode(loaded.encoder, features(twins, count))
    slots = KVCache.allocate(loaded, 5, keeps_whole)
    slots.cross.hear(first, encoded)
    hidden = forward.read(loaded, slots, first, tokens[:, :8])
    assert torch.allclose(linear(hidden, loaded.decoder.head), expected[:, :8], atol=1e-4)
    for target, source in enumerate(range(first, first + count)):
        slots.move(source, target, 8)
    for position in range(8, 20):
        positions = torch.full((count,), position)
        hidden = forward.write(loaded, slots, tokens[:, position], positions, length=20)
        logits = linear(hidden, loaded.decoder.head)
        assert torch.allclose(logits, expected[:, position], atol=1e-4), position


@torch.inference_mode()
def test_rows_at_different_positions_do_not_disturb_each_other(
    tiny: Twins, keeps_whole: bool
) -> None:
    loaded = tiny.checkpoint.weights
    tokens = torch.randint(0, 50_000, (2, 12))
    expected = tiny.model(extracted(tiny, 2), decoder_input_ids=tokens).logits
    slots = KVCache.allocate(loaded, 2, keeps_whole)
    slots.cross.hear(0, forward.encode(loaded.encoder, features(tiny, 2)))
    padded = tokens[:, :9].clone()
    padded[1, 4:] = 0  # the second row's opening is shorter
    forward.read(loaded, slots, 0, padded)
    places = torch.tensor([9, 4])
    for step in range(3):
        positions = places + step
        hidden = forward.write(loaded, slots, tokens[[0, 1], positions], positions, length=12)
        found = linear(hidden, loaded.decoder.head)
        assert torch.allclose(found, expected[[0, 1], positions], atol=1e-4), step


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
    packed = weights._laid(matrix, bias, packs=True)
    for x in (torch.randn(1, 64), torch.randn(64, 16).T, torch.randn(2, 30, 64)):
        for gelu in (False, True):
            expected, found = (linear(x.to(dtype), layer, gelu) for layer in (plain, packed))
            assert torch.allclose(found.float(), expected.float(), atol=rounding, rtol=rounding)


@torch.inference_mode()
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-6), (torch.bfloat16, 0.02)])
@pytest.mark.parametrize("frames", [1, 100, 1500])
def test_packed_attention_computes_what_plain_attention_does(
    dtype: torch.dtype, rounding: float, frames: int
) -> None:
    skip_without_onednn(dtype)
    assert onednn.is_usable(dtype)
    projected = torch.randn(2, frames, 3, 4, 16).to(dtype)  # strided as the model's own
    query, key, value = projected.transpose(1, 3).unbind(2)
    found = onednn.attention(query, key, value).float()
    exact = (part.float() for part in (query, key, value))
    expected = torch.nn.functional.scaled_dot_product_attention(*exact, scale=1.0)
    assert (found - expected).norm() <= rounding * expected.norm()


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


def test_nothing_is_in_memory_twice_once_the_weights_are_taken(
    tiny: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onednn, "is_usable", lambda _: False)
    stored = OnceOnly(copy.deepcopy(tiny.model).state_dict())
    given = tiny.model.model
    biases = sum(  # the key projections' biases, which Whisper does not have
        layer.self_attn.embed_dim for layer in (*given.encoder.layers, *given.decoder.layers)
    ) + sum(layer.encoder_attn.embed_dim for layer in given.decoder.layers)
    parameters = sum(parameter.numel() for parameter in given.parameters())
    taken = take(stored, tiny.model.config)
    assert list(stored) == ["proj_out.weight"]
    assert taken.decoder.head.weight.data_ptr() == taken.decoder.tokens.data_ptr()
    held = {tensor.data_ptr(): tensor.numel() for tensor in tensors(taken)}
    assert sum(held.values()) == parameters + biases


class OnceOnly(dict[str, torch.Tensor]):
    """Tensors that are gone once they were read."""

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.pop(name)


def test_a_head_of_its_own_is_used(tiny: Twins) -> None:
    config = copy.deepcopy(tiny.model.config)
    config.tie_word_embeddings = False
    stored = tiny.model.state_dict() | {"proj_out.weight": torch.ones(7, config.d_model)}
    taken = take(stored, config)
    x = torch.randn(1, config.d_model)
    assert torch.allclose(linear(x, taken.decoder.head), x.sum().expand(1, 7), atol=1e-5)


def tensors(part: object) -> list[torch.Tensor]:
    """Every tensor within nested dataclasses and tuples."""
    if isinstance(part, torch.Tensor):
        return [part]
    inner = part if isinstance(part, tuple) else vars(part).values() if has_fields(part) else ()
    return [tensor for each in inner for tensor in tensors(each)]


def has_fields(part: object) -> bool:
    return hasattr(part, "__dataclass_fields__")


@torch.inference_mode()
@pytest.mark.parametrize("queries", [1, 16, 17])  # a head is 16 wide
def test_both_forms_of_what_is_heard_answer_alike(queries: int) -> None:
    loaded = Twins.of(models.TINY, keeps_whole=True).checkpoint.weights
    query = torch.randn(2, 3, queries, 16)
    answers = []
    for form in (KeysAndValues, EncoderOutput):
        cross = form.allocate(loaded, 4)
        cross.hear(1, torch.linspace(-2, 2, 2 * 100 * 48).sin().view(2, 100, 48))
        cross.of(0).copy_(cross.of(1))
        keys = cross.keys(1, 2, slot=2, frames=70)
        answers.append(
            (cross.attend(1, query, slice(1, 3)), cross.attend(0, query[:1], slice(1)), keys)
        )
    for one, other in zip(*answers, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
        assert one.std() > 0.01


def test_a_slot_takes_what_is_planned_for_it(twins: Twins, keeps_whole: bool) -> None:
    loaded = twins.checkpoint.weights
    slots = KVCache.allocate(loaded, 3, keeps_whole)
    kept = slots.cross.kept.nbytes + slots.own.nbytes + slots.queries.nbytes
    assert kept == 3 * slot_bytes(loaded, keeps_whole)


@torch.inference_mode()
def test_bfloat16_differs_by_rounding_alone(tiny: Twins) -> None:
    given = copy.deepcopy(tiny.model).to(torch.bfloat16).state_dict()
    taken = take(given, tiny.model.config)
    found = forward.encode(taken.encoder, features(tiny, 2).to(torch.bfloat16)).float()
    expected = forward.encode(tiny.checkpoint.weights.encoder, features(tiny, 2))
    error = (found - expected).norm() / expected.norm()
    assert 0 < error < 0.03


def test_another_activation_is_refused(tiny: Twins) -> None:
    config = copy.deepcopy(tiny.model.config)
    config.activation_function = "relu"
    with pytest.raises(ValueError, match="relu"):
        take(tiny.model.state_dict(), config)
