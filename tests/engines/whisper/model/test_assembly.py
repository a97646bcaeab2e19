"""Weights are taken from a state dict once, without a copy."""

from __future__ import annotations

import copy

import pytest
import torch

from asr.engines.whisper.model import onednn
from asr.engines.whisper.model.assembly import take
from asr.engines.whisper.model.weights import linear
from tests.support.twins import Twins

pytestmark = pytest.mark.both_forms


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


def test_another_activation_is_refused(tiny: Twins) -> None:
    config = copy.deepcopy(tiny.model.config)
    config.activation_function = "relu"
    with pytest.raises(ValueError, match="relu"):
        take(tiny.model.state_dict(), config)
