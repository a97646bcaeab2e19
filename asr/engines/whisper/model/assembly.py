"""Make Whisper's weights of a checkpoint's tensors, one after the other."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch

from asr.engines.whisper.kernels.decoder import DecoderKernel
from asr.engines.whisper.kernels.encoder import EncoderKernel
from asr.engines.whisper.kernels.windows import WindowKernel
from asr.engines.whisper.model import byte_rows
from asr.engines.whisper.model.balancing import column_factors, divided
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
    half_dtype,
    make_linear,
    packing_of,
)

Matrix: TypeAlias = torch.Tensor | Int8Rows  # [out, in], in float or quantized
Projection = tuple[Matrix, torch.Tensor]  # and its bias [out]


class MakeLinear(Protocol):
    """Packs a matrix [out, in] and its bias [out]."""

    def __call__(
        self, weight: Matrix, bias: torch.Tensor | None, *, follows_gelu: bool = False
    ) -> Linear: ...


class NamedTensors(Protocol):
    """Gives tensors by the names that Transformers has for them."""

    def __getitem__(self, name: str, /) -> torch.Tensor: ...


@runtime_checkable
class Int8Source(Protocol):
    """Gives matrices in int8 without a float copy of the whole."""

    def is_int8(self, name: str) -> bool:
        """Return whether a matrix is stored in int8."""

    def int8_rows(self, name: str, factors: torch.Tensor | None = None) -> Int8Rows:
        """Return a matrix [out, in], as it is stored if that is in int8, else quantized.

        Args:
            factors: float32 [in], of the columns of a matrix that is not stored in int8.
        """


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
    tokens, norm, head = _tokens_and_head(decoder, make_few, config.tie_word_embeddings)
    encoder_layers = tuple(
        _encoder_layer(encoder.part(f"layers.{number}."), heads[0], make)
        for number in range(config.encoder_layers)
    )
    decoder_layers = tuple(
        _decoder_layer(decoder.part(f"layers.{number}."), heads[1], make_few, make)
        for number in range(config.decoder_layers)
    )
    return Weights(
        EncoderWeights(
            conv1=_convolution(encoder, "conv1", half_dtype(packing, positions.dtype)),
            conv2=_convolution(encoder, "conv2", half_dtype(packing, positions.dtype)),
            positions=encoder.weight("embed_positions"),
            layers=encoder_layers,
            norm=Norm(*encoder.pair("layer_norm")),
            heads=heads[0],
            kernel=EncoderKernel.of(encoder_layers, heads[0]),
        ),
        DecoderWeights(
            tokens=tokens,
            positions=positions,
            layers=decoder_layers,
            norm=norm,
            heads=heads[1],
            head=head,
            kernel=DecoderKernel.of(decoder_layers, heads[1]),
            window_kernel=WindowKernel.of(decoder_layers, heads[1]),
        ),
    )


def _convolution(encoder: Part, name: str, dtype: torch.dtype) -> Convolution:
    return Convolution(*(tensor.to(dtype) for tensor in encoder.pair(name)))


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

    def matrix(self, name: str, factors: torch.Tensor | None = None) -> Matrix:
        """Return a weight [out, in] in the form that is wanted.

        Args:
            factors: float32 [in], of the columns of a matrix that will be quantized.
        """
        if not self.is_int8:
            return self.weight(name)
        if isinstance(self.tensors, Int8Source):
            return self.tensors.int8_rows(f"{self.prefix}{name}.weight", factors)
        return Int8Rows.of(self.weight(name), factors)

    def normed(self, norm: str, *names: str) -> tuple[Norm, list[Matrix]]:
        """Return a norm and the matrices [out, in] that multiply what it gives.

        Those that will be quantized are balanced with the norm.
        """
        given = Norm(*self.pair(norm))
        if not self.is_int8 or any(self._is_stored_in_int8(name) for name in names):
            return given, [self.matrix(name) for name in names]
        ends = [torch.stack(torch.aminmax(self.weight(name), dim=0)) for name in names]
        factors = column_factors(given, torch.cat(ends).abs().amax(dim=0))
        return divided(given, factors), [self.matrix(name, factors) for name in names]

    def _is_stored_in_int8(self, name: str) -> bool:
        source = self.tensors
        return isinstance(source, Int8Source) and source.is_int8(f"{self.prefix}{name}.weight")

    def projection(self, name: str) -> Projection:
        """Return a matrix and its bias."""
        return self.matrix(name), self.bias(name)


def _tokens_and_head(
    decoder: Part, make: MakeLinear, is_tied: bool
) -> tuple[torch.Tensor, Norm, Linear]:
    """Return the tokens' embeddings, the last norm and the projection to logits.

    The first and the last may be the same numbers.
    """
    tokens = decoder.weight("embed_tokens")
    if not decoder.is_int8:
        head = tokens if is_tied else decoder.tensors["proj_out.weight"]
        return tokens, Norm(*decoder.pair("layer_norm")), make(head, None)
    # The float32 numbers leave memory before the matrix is read.
    tokens = byte_rows.pack(tokens) if byte_rows.is_usable() else tokens.half()
    whole = Part(decoder.tensors, "", is_int8=True)
    name = f"{decoder.prefix}embed_tokens" if is_tied else "proj_out"
    norm, [matrix] = whole.normed(f"{decoder.prefix}layer_norm", name)
    return tokens, norm, make(matrix, None)


def _encoder_layer(layer: Part, heads: int, make: MakeLinear) -> EncoderLayer:
    attention_norm, query_key_value = _query_key_value(layer, heads)
    feed_norm, [widen] = layer.normed("final_layer_norm", "fc1")
    return EncoderLayer(
        attention_norm=attention_norm,
        query_key_value=make(*query_key_value),
        attention_out=make(*layer.projection("self_attn.out_proj")),
        feed_norm=feed_norm,
        widen=make(widen, layer.bias("fc1")),
        narrow=make(*layer.projection("fc2"), follows_gelu=True),
    )


def _decoder_layer(
    layer: Part, heads: int, make: MakeLinear, make_for_frames: MakeLinear
) -> DecoderLayer:
    cross = layer.part("encoder_attn.")
    attention_norm, query_key_value = _query_key_value(layer, heads)
    value, value_bias = cross.projection("v_proj")
    key = _unbiased(cross.matrix("k_proj"), value_bias)
    cross_norm, [cross_query] = layer.normed("encoder_attn_layer_norm", "encoder_attn.q_proj")
    feed_norm, [widen] = layer.normed("final_layer_norm", "fc1")
    return DecoderLayer(
        attention_norm=attention_norm,
        query_key_value=make(*query_key_value),
        attention_out=make(*layer.projection("self_attn.out_proj")),
        cross_norm=cross_norm,
        cross_query=make(*_scaled(cross_query, cross.bias("q_proj"), heads)),
        cross_key_value=make_for_frames(*_stacked(key, (value, value_bias))),
        cross_out=make(*cross.projection("out_proj")),
        feed_norm=feed_norm,
        widen=make(widen, layer.bias("fc1")),
        narrow=make(*layer.projection("fc2"), follows_gelu=True),
    )


def _query_key_value(layer: Part, heads: int) -> tuple[Norm, Projection]:
    """Return the norm of a layer's self-attention and its three projections as one."""
    parts = [f"self_attn.{name}_proj" for name in "qkv"]
    norm, (query, key, value) = layer.normed("self_attn_layer_norm", *parts)
    query_bias, value_bias = layer.bias(parts[0]), layer.bias(parts[2])
    scaled = _scaled(query, query_bias, heads)
    return norm, _stacked(scaled, _unbiased(key, value_bias), (value, value_bias))


def _unbiased(key: Matrix, like: torch.Tensor) -> Projection:
    """Return the key's projection with a bias of zeros, because Whisper's key has none."""
    return key, torch.zeros_like(like)


def _scaled(weight: Matrix, bias: torch.Tensor, heads: int) -> Projection:
    """Scale the query's projection, so that no score has to be scaled."""
    scale = (len(bias) // heads) ** -0.5
    scaled = weight * scale if isinstance(weight, torch.Tensor) else weight.scaled(scale)
    return scaled, bias * scale


def _stacked(*projections: Projection) -> Projection:
    """Stack several projections of one input into one."""
    weights, biases = zip(*projections, strict=True)
    floats = [weight for weight in weights if isinstance(weight, torch.Tensor)]
    if floats:
        return torch.cat(floats), torch.cat(biases)
    return Int8Rows.stacked(weights), torch.cat(biases)
