"""Whisper's weights in the engine's layout."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import torch
import torch.nn.functional as F  # noqa: N812

from asr.engines.whisper.kernels.decoder import DecoderKernel
from asr.engines.whisper.kernels.encoder import EncoderKernel
from asr.engines.whisper.kernels.windows import WindowKernel
from asr.engines.whisper.model import int8, onednn


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
    kernel: EncoderKernel | None = None  # runs all layers; None: torch does


@dataclass(frozen=True)
class DecoderWeights:
    """The weights of the decoder."""

    tokens: torch.Tensor  # [vocabulary, width]; in int8 rows of 8 bits: width + 8
    positions: torch.Tensor  # [positions, width]
    layers: tuple[DecoderLayer, ...]
    norm: Norm
    heads: int
    head: Linear  # [vocabulary, width]: hidden state → logits
    aligning: tuple[tuple[int, int], ...] = ()  # (layer, head) whose attention follows the speech
    kernel: DecoderKernel | None = None  # runs all layers of a step; None: torch does
    window_kernel: WindowKernel | None = None  # makes windows' keys and values, in 8 bits


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


def half_dtype(packing: Packing, dtype: torch.dtype) -> torch.dtype:
    """Return in which dtype the encoder convolves and attends, where other numbers have `dtype`."""
    return torch.bfloat16 if packing is Packing.INT8 and onednn.is_fast_in_bfloat16() else dtype


def make_linear(
    weight: torch.Tensor | int8.Int8Rows,
    bias: torch.Tensor | None,
    packing: Packing,
    has_few_rows: bool = False,
    follows_gelu: bool = False,
) -> Linear:
    """Bring a matrix [out, in] and its bias [out] into the form that `linear` multiplies with.

    Args:
        weight: in int8 only for a packing in int8.
        has_few_rows: it will mostly be multiplied with the rows of a decoder's step, not with a
            window's frames. In int8 another operator is the fastest then.
        follows_gelu: it will be multiplied with numbers that GELU gave.
    """
    own_bias = None if bias is None or packing is Packing.PLAIN else bias.contiguous()
    if packing is Packing.INT8:
        rows = int8.Int8Rows.of(weight) if isinstance(weight, torch.Tensor) else weight
        return Linear(int8.pack(rows, has_few_rows, follows_gelu), own_bias, packing)
    assert isinstance(weight, torch.Tensor)
    if packing is Packing.PLAIN:
        return Linear(weight, bias)
    return Linear(onednn.pack(weight), own_bias, packing)


def linear(
    x: torch.Tensor, layer: Linear, gelu: bool = False, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """Multiply [..., in] → [..., out], with GELU if asked.

    Args:
        dtype: of the result; None: that of `x`.
    """
    if not isinstance(layer.weight, torch.Tensor):
        return int8.linear(x, layer.weight, layer.bias, gelu, dtype or x.dtype)
    if layer.packing is Packing.PLAIN:
        y = F.linear(x, layer.weight, layer.bias)
    elif gelu and onednn.fuses_well():
        y, gelu = onednn.linear(x, layer.weight, layer.bias, gelu), False
    else:
        y = onednn.linear(x, layer.weight, layer.bias)
    return (F.gelu(y) if gelu else y).to(dtype or x.dtype)
