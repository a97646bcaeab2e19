"""Measure how long a CPU takes for a window's arithmetic in each number format.

One thread computes, and its CPU time counts, so that other programs on the machine hardly matter.
With two threads, at a load of 8, products took ten times as long as on a quiet machine, and the
ratio of two formats was anything from 0.1 to 2.5; on one thread it stays within a tenth of itself.
With more threads than one, steps are bound by memory earlier, so that small formats gain more.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median

import threadpoolctl
import torch
import torch.nn.functional as F  # noqa: N812
from transformers import WhisperConfig

from asr.engines.whisper.model import onednn
from asr.engines.whisper.model.weights import (
    Packing,
    half_dtype,
    linear,
    make_linear,
    packing_of,
)

# A window of 30 s of English has about 100 tokens, each a decode step. A caller's clip is decoded
# alone, the windows of a file and of many callers together: so many steps count of each kind.
STEPS_ALONE, STEPS_TOGETHER = 25, 75
TOGETHER = 16  # So many windows are decoded together.
# The encoder's products have so many operations when they are measured, not a window's:
# from 64 rows on, the ratio of two formats is that of 1500 rows.
ENCODER_FLOPS = 2e8
LEAST_ROWS = 64
MOST_NUMBERS = 2**21 + 2**18  # The matrix that is measured has at most so many.
QUERIES = 375  # Attention is measured for so many queries of one head.
REPETITIONS = 5  # Every share is measured so many times, the formats in turn; the median counts.
CPU = torch.device("cpu")


@dataclass(frozen=True)
class CpuFormat:
    """A number format in which the engine can compute on a CPU."""

    name: str  # as in the setting DTYPE
    dtype: torch.dtype  # of all but the matrices
    quantizes: bool = False  # the matrices are int8

    def packing(self) -> Packing | None:
        """Find out how matrices are held; None where the CPU does not multiply in the format."""
        packing = packing_of(CPU, self.dtype, self.quantizes)
        if self.name == "float32" or packing is self._wanted:
            return packing
        return None

    @property
    def _wanted(self) -> Packing:
        return Packing.INT8 if self.quantizes else Packing.ONEDNN


FLOAT32 = CpuFormat("float32", torch.float32)
BFLOAT16 = CpuFormat("bfloat16", torch.bfloat16)
INT8 = CpuFormat("int8", torch.float32, quantizes=True)
FORMATS = (FLOAT32, BFLOAT16, INT8)  # the most exact first


@dataclass(frozen=True)
class ModelShape:
    """The sizes of a Whisper model on which its arithmetic depends."""

    width: int
    feed_width: int
    encoder_layers: int
    encoder_heads: int
    decoder_layers: int
    vocabulary: int
    frames: int  # of a window, in the encoder

    @classmethod
    def of(cls, settings: WhisperConfig) -> ModelShape:
        return cls(
            settings.d_model,
            settings.encoder_ffn_dim,
            settings.encoder_layers,
            settings.encoder_attention_heads,
            settings.decoder_layers,
            settings.vocab_size,
            settings.max_source_positions,
        )

    @property
    def encoder_flops(self) -> float:
        """Operations of a window's products, and of its cross-attention's keys and values."""
        width, layers = self.width, self.encoder_layers
        weights = layers * (4 * width**2 + 2 * width * self.feed_width)
        weights += self.decoder_layers * 2 * width**2
        return 2.0 * self.frames * weights

    @property
    def attention_flops(self) -> float:
        """Operations of a window's attention in the encoder."""
        return 4.0 * self.encoder_layers * self.frames**2 * self.width

    @property
    def step_flops(self) -> float:
        """Operations of the products of one decode step, for one window."""
        layer = 6 * self.width**2 + 2 * self.width * self.feed_width
        return 2.0 * (self.decoder_layers * layer + self.vocabulary * self.width)

    @property
    def window_flops(self) -> float:
        return (
            self.encoder_flops
            + self.attention_flops
            + (STEPS_ALONE + STEPS_TOGETHER) * self.step_flops
        )


@dataclass(frozen=True)
class Share:
    """A part of a window's arithmetic that is measured, and how much of it a window has."""

    call: Callable[[], object]
    times: float  # A window takes as long as so many calls.


def measure(
    shape: ModelShape, clock: Callable[[], float] = time.thread_time
) -> Mapping[str, float]:
    """Return the seconds of a window on one core, by the name of each supported format.

    It takes a tenth to a quarter of a second of one core, for a model of any size.

    Args:
        clock: seconds; CPU time of this thread.
    """
    torch.get_num_threads()  # A thread's first call sets its number: here, not in the block.
    openmp = threadpoolctl.ThreadpoolController().select(user_api="openmp")
    with openmp.limit(limits=1), torch.inference_mode():  # for this thread alone
        shares: dict[str, list[Share]] = {}
        attends: dict[str, str] = {}  # name of a format → in which dtype the encoder attends
        for one in FORMATS:
            if (packing := one.packing()) is not None:
                shares[one.name] = [*_products(shape, one.dtype, packing)]
                dtype = half_dtype(packing, one.dtype)
                attends[one.name] = str(dtype)
                shares.setdefault(str(dtype), [_attention(shape, dtype, packing)])
        taken: dict[str, list[list[float]]] = {key: [[] for _ in shares[key]] for key in shares}
        for _ in range(REPETITIONS + 1):  # the first warms up
            for key, some in shares.items():
                for share, seconds in zip(some, taken[key], strict=True):
                    seconds.append(_timed(share, clock))
    whole = {key: sum(median(seconds[1:]) for seconds in each) for key, each in taken.items()}
    return {name: whole[name] + whole[dtype] for name, dtype in attends.items()}


def _products(shape: ModelShape, dtype: torch.dtype, packing: Packing) -> Iterator[Share]:
    """Yield a product of the encoder, of a step alone, and of a step of several windows."""
    width = shape.width
    wide = min(shape.feed_width, MOST_NUMBERS // width // 64 * 64)
    matrix, bias = _numbers(wide, width).to(dtype), torch.zeros(wide, dtype=dtype)
    of_frames = make_linear(matrix, bias, packing)
    of_steps = make_linear(matrix, bias, packing, has_few_rows=True)
    flops = 2.0 * width * wide  # of a row
    rows = round(min(max(ENCODER_FLOPS / flops, LEAST_ROWS), shape.frames))
    steps = shape.step_flops / flops
    for count, layer, times in (
        (rows, of_frames, shape.encoder_flops / (rows * flops)),
        (1, of_steps, STEPS_ALONE * steps),
        (TOGETHER, of_steps, STEPS_TOGETHER * steps / TOGETHER),
    ):
        x = _numbers(count, width).to(dtype)
        yield Share(functools.partial(linear, x, layer, gelu=True), times)


def _attention(shape: ModelShape, dtype: torch.dtype, packing: Packing) -> Share:
    is_fused = packing is not Packing.PLAIN and onednn.fuses_well()  # as the encoder decides
    attend = onednn.attention if is_fused else F.scaled_dot_product_attention
    size = shape.width // shape.encoder_heads
    keys = _numbers(shape.frames, size).to(dtype)[None, None]
    queries = keys[:, :, :QUERIES]
    flops = 4.0 * queries.shape[2] * shape.frames * size
    return Share(lambda: attend(queries, keys, keys), shape.attention_flops / flops)


def _timed(share: Share, clock: Callable[[], float]) -> float:
    """Return the seconds of all of a window's calls, from one call."""
    began = clock()
    share.call()
    return (clock() - began) * share.times


def _numbers(rows: int, columns: int) -> torch.Tensor:
    """Return numbers from -1 to 1, [rows, columns]; every eighth row is the same."""
    few = torch.linspace(-1, 1, 8 * columns).mul(99).sin().reshape(8, columns)
    return few.repeat(-(-rows // 8), 1)[:rows]
