"""Whisper's weights in the engine's layout, made of a checkpoint's tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol

import torch
import torch.nn.functional as F  # noqa: N812

from asr.engines.whisper.model import int8, onednn

Pair = tuple[torch.Tensor, torch.Tensor]  # weight [out, in, ...] and bias [out]


class Packing(Enum):
    """In which form a matrix is held."""

    PLAIN = auto()  # as torch has it, [out, in]
    ONEDNN = auto()  # in oneDNN's blocked layout
    INT8 = auto()  # quantized, and packed for products in int8


@dataclass(frozen=True)
class Linear:
    """A matrix and its bias."""

    weight: torch.Tensor | int8.Int8Matrix  # [out, in], in the form `packing`
    bias: torch.Tensor | None  # [out]
    packing: Packing = Packing.PLAIN

    @property
    def is_packed(self) -> bool:
        return self.packing is not Packing.PLAIN


@dataclass(frozen=True)
class Convolution:
    """A convolution of three neighbours, and its bias."""

    weight: torch.Tensor  # [out, in, 3]
    bias: torch.Tensor  # [out]


@dataclass(frozen=True)
class Norm:
    """The scale and bias of a layer norm."""

    weight: torch.Tensor  # [width]
    bias: torch.Tensor  # [width]
    epsilon: float = 1e-5


@dataclass(frozen=True)
class EncoderLayer:
    """The weights of one encoder layer."""

    attention_norm: Norm
    query_key_value: Linear  # [3 width, width], the query's rows scaled
    attention_out: Linear
    feed_norm: Norm
    widen: Linear
    narrow: Linear


@dataclass(frozen=True)
class DecoderLayer:
    """The weights of one decoder layer."""

    attention_norm: Norm
    query_key_value: Linear  # [3 width, width], the query's rows scaled
    attention_out: Linear
    cross_norm: Norm
    cross_query: Linear  # [width, width], scaled
    cross_key_value: Linear  # [2 width, width]
    cross_out: Linear
    feed_norm: Norm
    widen: Linear
    narrow: Linear


@dataclass(frozen=True)
class EncoderWeights:
    """The weights of the encoder."""

    conv1: Convolution  # mels → width
    conv2: Convolution  # stride 2
    positions: torch.Tensor  # [frames, width]
    layers: tuple[EncoderLayer, ...]  # none where it does not run in torch
    norm: Norm
    heads: int


@dataclass(frozen=True)
class DecoderWeights:
    """The weights of the decoder."""

    tokens: torch.Tensor  # [vocabulary, width]; in int8 it is float16, as published
    positions: torch.Tensor  # [positions, width]
    layers: tuple[DecoderLayer, ...]
    norm: Norm
    heads: int
    head: Linear  # [vocabulary, width]: hidden state → logits
    aligning: tuple[tuple[int, int], ...] = ()  # (layer, head) whose attention follows the speech


@dataclass(frozen=True)
class Weights:
    """All weights of a model."""

    encoder: EncoderWeights
    decoder: DecoderWeights

    @property
    def device(self) -> torch.device:
        return self.decoder.tokens.device

    @property
    def dtype(self) -> torch.dtype:
        return self.decoder.positions.dtype

    @property
    def packing(self) -> Packing:
        """The form of most matrices."""
        return self.decoder.layers[0].query_key_value.packing

    @property
    def vocabulary_size(self) -> int:
        return int(self.decoder.tokens.shape[0])


def packing_of(device: torch.device, dtype: torch.dtype, quantizes: bool = False) -> Packing:
    """Return the form of matrices whose activations are of this dtype on this device.

    Args:
        quantizes: int8 is wanted; where it is not to be had, the next best form is.
    """
    if device.type != "cpu" or not onednn.is_usable(dtype):
        return Packing.PLAIN
    return Packing.INT8 if quantizes and int8.is_usable() else Packing.ONEDNN


def make_linear(
    weight: torch.Tensor, bias: torch.Tensor | None, packing: Packing, has_few_rows: bool = False
) -> Linear:
    """Bring a matrix [out, in] and its bias [out] into the form that `linear` multiplies with.

    Args:
        has_few_rows: it will mostly be multiplied with the rows of a decoder's step, not with a
            window's frames. In int8 another operator is the fastest then.
    """
    if packing is Packing.PLAIN:
        return Linear(weight, bias)
    own_bias = None if bias is None else bias.contiguous()
    if packing is Packing.INT8:
        return Linear(int8.pack(weight, has_few_rows), own_bias, packing)
    return Linear(onednn.pack(weight), own_bias, packing)


def linear(x: torch.Tensor, layer: Linear, gelu: bool = False) -> torch.Tensor:
    """Multiply [..., in] → [..., out], with GELU if asked."""
    if not isinstance(layer.weight, torch.Tensor):
        return int8.linear(x, layer.weight, layer.bias, gelu)
    if layer.packing is Packing.PLAIN:
        y = F.linear(x, layer.weight, layer.bias)
    elif gelu and onednn.fuses_well():
        return onednn.linear(x, layer.weight, layer.bias, gelu)
    else:
        y = onednn.linear(x, layer.weight, layer.bias)
    return F.gelu(y) if gelu else y


class NamedTensors(Protocol):
    """Gives tensors by the names that Transformers has for them."""

    def __getitem__(self, name: str, /) -> torch.Tensor: ...


def take(tensors: NamedTensors, config: Any, quantizes: bool = False) -> Weights:
    """Make the weights of a `WhisperForConditionalGeneration` with this configuration.

    Each tensor is read once, and nothing larger than a layer is in memory twice. On a CPU
    the matrices are packed once for oneDNN, which is 2 to 4 times faster than on the fly.

    Args:
        quantizes: hold the matrices in int8, on a CPU that multiplies in it.
    """
    if config.activation_function != "gelu":
        raise ValueError(
            f"the activation function is {config.activation_function!r}, and ENGINE=whisper "
            "supports only 'gelu': use ENGINE=pipeline"
        )
    encoder, decoder = Part(tensors, "model.encoder."), Part(tensors, "model.decoder.")
    embeddings = decoder.weight("embed_tokens")
    packing = packing_of(embeddings.device, embeddings.dtype, quantizes)
    make = functools.partial(make_linear, packing=packing)
    make_few = functools.partial(make, has_few_rows=True)
    heads = config.encoder_attention_heads, config.decoder_attention_heads
    is_tied = config.tie_word_embeddings
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
            tokens=embeddings.half() if packing is Packing.INT8 else embeddings,
            positions=decoder.weight("embed_positions"),
            layers=tuple(
                _decoder_layer(decoder.part(f"layers.{number}."), heads[1], make_few, make)
                for number in range(config.decoder_layers)
            ),
            norm=Norm(*decoder.pair("layer_norm")),
            heads=heads[1],
            head=make_few(embeddings if is_tied else tensors["proj_out.weight"], None),
        ),
    )


@dataclass(frozen=True)
class Part:
    """The tensors whose names begin with one prefix."""

    tensors: NamedTensors
    prefix: str

    def part(self, prefix: str) -> Part:
        return Part(self.tensors, self.prefix + prefix)

    def weight(self, name: str) -> torch.Tensor:
        return self.tensors[f"{self.prefix}{name}.weight"]

    def pair(self, name: str) -> Pair:
        """Return weight and bias."""
        return self.weight(name), self.tensors[f"{self.prefix}{name}.bias"]


MakeLinear = Callable[[torch.Tensor, torch.Tensor | None], Linear]


def _encoder_layer(layer: Part, heads: int, make: MakeLinear) -> EncoderLayer:
    return EncoderLayer(
        attention_norm=Norm(*layer.pair("self_attn_layer_norm")),
        query_key_value=make(*_query_key_value(layer.part("self_attn."), heads)),
        attention_out=make(*layer.pair("self_attn.out_proj")),
        feed_norm=Norm(*layer.pair("final_layer_norm")),
        widen=make(*layer.pair("fc1")),
        narrow=make(*layer.pair("fc2")),
    )


def _decoder_layer(
    layer: Part, heads: int, make: MakeLinear, make_for_frames: MakeLinear
) -> DecoderLayer:
    cross = layer.part("encoder_attn.")
    return DecoderLayer(
        attention_norm=Norm(*layer.pair("self_attn_layer_norm")),
        query_key_value=make(*_query_key_value(layer.part("self_attn."), heads)),
        attention_out=make(*layer.pair("self_attn.out_proj")),
        cross_norm=Norm(*layer.pair("encoder_attn_layer_norm")),
        cross_query=make(*_query(cross, heads)),
        cross_key_value=make_for_frames(*_stacked(_key(cross), cross.pair("v_proj"))),
        cross_out=make(*cross.pair("out_proj")),
        feed_norm=Norm(*layer.pair("final_layer_norm")),
        widen=make(*layer.pair("fc1")),
        narrow=make(*layer.pair("fc2")),
    )


def _query_key_value(attention: Part, heads: int) -> Pair:
    return _stacked(_query(attention, heads), _key(attention), attention.pair("v_proj"))


def _query(attention: Part, heads: int) -> Pair:
    """Return the query's projection, scaled, so that no score has to be."""
    weight, bias = attention.pair("q_proj")
    scale = (len(weight) // heads) ** -0.5
    return weight * scale, bias * scale


def _key(attention: Part) -> Pair:
    """Return the key's projection; its bias is zero, because Whisper's key has none."""
    weight = attention.weight("k_proj")
    return weight, torch.zeros_like(weight[:, 0])


def _stacked(*projections: Pair) -> Pair:
    """Stack several projections of one input into one."""
    weights, biases = zip(*projections, strict=True)
    return torch.cat(weights), torch.cat(biases)
