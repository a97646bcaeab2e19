"""Make Whisper's weights of a checkpoint's tensors, one after the other."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch

from asr.engines.whisper.model.int8 import Int8Rows
from asr.engines.whisper.model.weights import (
    Convolution,
    DecoderLayer,
    DecoderWeights,
    EncoderLayer,
    EncoderWeights,
    Linear,
    Norm,
    Packing,
    Weights,
    make_linear,
    packing_of,
)

Matrix: TypeAlias = torch.Tensor | Int8Rows  # [out, in], in float or quantized
Projection = tuple[Matrix, torch.Tensor]  # and its bias [out]
MakeLinear = Callable[[Matrix, torch.Tensor | None], Linear]


class NamedTensors(Protocol):
    """Gives tensors by the names that Transformers has for them."""

    def __getitem__(self, name: str, /) -> torch.Tensor: ...


@runtime_checkable
class Int8Source(Protocol):
    """Gives matrices in int8 without a float copy of the whole."""

    def int8_rows(self, name: str) -> Int8Rows:
        """Return a matrix [out, in], as it is stored if that is in int8, else quantized."""


def take(tensors: NamedTensors, config: Any, quantizes: bool = False) -> Weights:
    """Make the weights of a `WhisperForConditionalGeneration` with this configuration.

    Nothing larger than a layer is in memory twice, the embeddings aside: they come first, while
    little else is there. On a CPU the matrices are packed once for oneDNN, which is 2 to 4 times
    faster than on the fly.

    Args:
        quantizes: hold the matrices in int8, on a CPU that multiplies in it.
    """
    if config.activation_function != "gelu":
        raise ValueError(
            f"the activation function is {config.activation_function!r}, and ENGINE=whisper "
            "supports only 'gelu': use ENGINE=pipeline"
        )
    positions = Part(tensors, "model.decoder.").weight("embed_positions")
    packing = packing_of(positions.device, positions.dtype, quantizes)
    is_int8 = packing is Packing.INT8
    encoder, decoder = (Part(tensors, f"model.{side}.", is_int8) for side in ("encoder", "decoder"))
    make = functools.partial(make_linear, packing=packing)
    make_few = functools.partial(make, has_few_rows=True)
    heads = config.encoder_attention_heads, config.decoder_attention_heads
    tokens, head = _tokens_and_head(decoder, make_few, config.tie_word_embeddings)
    return Weights(
        EncoderWeights(
            conv1=Convolution(*encoder.pair("conv1")),
            conv2=Convolution(*encoder.pair("conv2")),
            positions=encoder.weight("embed_positions"),
            layers=tuple(
                _encoder_layer(encoder.part(f"layers.{number}."), heads[0], make)
                for number in range(config.encoder_layers)
            ),
            norm=Norm(*encoder.pair("layer_norm")),
            heads=heads[0],
        ),
        DecoderWeights(
            tokens=tokens,
            positions=positions,
            layers=tuple(
                _decoder_layer(decoder.part(f"layers.{number}."), heads[1], make_few, make)
                for number in range(config.decoder_layers)
            ),
            norm=Norm(*decoder.pair("layer_norm")),
            heads=heads[1],
            head=head,
        ),
    )


@dataclass(frozen=True)
class Part:
    """The tensors whose names begin with one prefix."""

    tensors: NamedTensors
    prefix: str
    is_int8: bool = False  # Matrices are wanted in int8.

    def part(self, prefix: str) -> Part:
        return Part(self.tensors, self.prefix + prefix, self.is_int8)

    def weight(self, name: str) -> torch.Tensor:
        return self.tensors[f"{self.prefix}{name}.weight"]

    def bias(self, name: str) -> torch.Tensor:
        return self.tensors[f"{self.prefix}{name}.bias"]

    def pair(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weight and bias."""
        return self.weight(name), self.bias(name)

    def matrix(self, name: str) -> Matrix:
        """Return a weight [out, in] in the form that is wanted."""
        if not self.is_int8:
            return self.weight(name)
        if isinstance(self.tensors, Int8Source):
            return self.tensors.int8_rows(f"{self.prefix}{name}.weight")
        return Int8Rows.of(self.weight(name))

    def projection(self, name: str) -> Projection:
        """Return a matrix and its bias."""
        return self.matrix(name), self.bias(name)


def _tokens_and_head(decoder: Part, make: MakeLinear, is_tied: bool) -> tuple[torch.Tensor, Linear]:
    """Return the tokens' embeddings and the projection to logits, which may be the same."""
    tokens = decoder.weight("embed_tokens")
    if decoder.is_int8:
        tokens = tokens.half()  # the float32 numbers leave memory before the matrix is read
    if not is_tied:
        return tokens, make(Part(decoder.tensors, "", decoder.is_int8).matrix("proj_out"), None)
    return tokens, make(decoder.matrix("embed_tokens") if decoder.is_int8 else tokens, None)


def _encoder_layer(layer: Part, heads: int, make: MakeLinear) -> EncoderLayer:
    return EncoderLayer(
        attention_norm=Norm(*layer.pair("self_attn_layer_norm")),
        query_key_value=make(*_query_key_value(layer.part("self_attn."), heads)),
        attention_out=make(*layer.projection("self_attn.out_proj")),
        feed_norm=Norm(*layer.pair("final_layer_norm")),
        widen=make(*layer.projection("fc1")),
        narrow=make(*layer.projection("fc2")),
    )


def _decoder_layer(
    layer: Part, heads: int, make: MakeLinear, make_for_frames: MakeLinear
) -> DecoderLayer:
    cross = layer.part("encoder_attn.")
    return DecoderLayer(
        attention_norm=Norm(*layer.pair("self_attn_layer_norm")),
        query_key_value=make(*_query_key_value(layer.part("self_attn."), heads)),
        attention_out=make(*layer.projection("self_attn.out_proj")),
        cross_norm=Norm(*layer.pair("encoder_attn_layer_norm")),
        cross_query=make(*_query(cross, heads)),
        cross_key_value=make_for_frames(*_stacked(*_key_and_value(cross))),
        cross_out=make(*cross.projection("out_proj")),
        feed_norm=Norm(*layer.pair("final_layer_norm")),
        widen=make(*layer.projection("fc1")),
        narrow=make(*layer.projection("fc2")),
    )


def _query_key_value(attention: Part, heads: int) -> Projection:
    query = _query(attention, heads)
    return _stacked(query, *_key_and_value(attention))


def _query(attention: Part, heads: int) -> Projection:
    """Return the query's projection, scaled, so that no score has to be."""
    weight, bias = attention.projection("q_proj")
    scale = (len(bias) // heads) ** -0.5
    scaled = weight * scale if isinstance(weight, torch.Tensor) else weight.scaled(scale)
    return scaled, bias * scale


def _key_and_value(attention: Part) -> tuple[Projection, Projection]:
    """Return both projections; the key's bias is zero, because Whisper's key has none."""
    key, (value, bias) = attention.matrix("k_proj"), attention.projection("v_proj")
    return (key, torch.zeros_like(bias)), (value, bias)


def _stacked(*projections: Projection) -> Projection:
    """Stack several projections of one input into one."""
    weights, biases = zip(*projections, strict=True)
    floats = [weight for weight in weights if isinstance(weight, torch.Tensor)]
    if floats:
        return torch.cat(floats), torch.cat(biases)
    return Int8Rows.stacked(weights), torch.cat(biases)
