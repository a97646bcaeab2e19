"""Balance the numbers that a norm gives with the columns of the matrices behind it, for int8.

A column's factor makes its numbers in the matrices larger and those that meet them smaller, so that
no product changes, and large numbers of one column no longer take the steps of all others. Source:
SmoothQuant (arXiv 2211.10438), which measures how large activations are. Here the norm tells it, so
that no recordings are needed.
"""

from __future__ import annotations

import torch

from asr.engines.whisper.model.weights import Norm

# The larger, the more of the differences between columns is in the matrices. With Whisper base the
# distance of the next token's probabilities to float32's has its minimum between 0.5 and 0.7.
SHARE = 0.6
REACH = 4.0  # Normalized numbers are seldom further from 0: standard deviations.
SMALLEST = 1e-4  # Columns whose numbers are smaller, beside the largest one, count as so large.


def column_factors(norm: Norm, peaks: torch.Tensor) -> torch.Tensor:
    """Return the factor of each column, float32 [in].

    Args:
        peaks: the largest number of each column of the matrices, [in].
    """
    given = norm.weight.float().abs() * REACH + norm.bias.float().abs()
    return _positive(given) ** SHARE / _positive(peaks.float()) ** (1 - SHARE)


def divided(norm: Norm, factors: torch.Tensor) -> Norm:
    """Return a norm whose numbers are smaller by the factors of their columns."""
    return Norm(norm.weight / factors, norm.bias / factors, norm.epsilon)


def _positive(sizes: torch.Tensor) -> torch.Tensor:
    """Return sizes of which none is zero, or all are one."""
    largest = sizes.amax()
    return sizes.clamp(min=largest * SMALLEST) if largest > 0 else torch.ones_like(sizes)
