"""Sample tokens with noise that depends on seed, position and token alone.

So a window's text does not depend on other windows, nor on the slot, the launch or the device,
and the same seed gives the same text. The noise is a hash of integers, not a generator's state,
as in counter-based generators (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
2011).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch

from asr.options import Options

BITS = 32  # Hashes have so many bits.
MASK = 2**BITS - 1  # Products are cut to the bits of this.
FACTORS = (0x21F0AAAD, 0x735A2D97)  # They are below 2^31: no product overflows int64.
HIGHEST = 1 - 2**-24  # Uniform numbers are at most this, the float32 before 1.


@dataclass(frozen=True)
class SamplingState:
    """What decides how each row samples its next token; all tensors are [rows]."""

    temperatures: torch.Tensor  # float32: 0 for the likeliest token
    seeds: torch.Tensor  # int64, not negative
    positions: torch.Tensor  # int64: of the next token

    def __getitem__(self, rows: torch.Tensor) -> SamplingState:
        return SamplingState(self.temperatures[rows], self.seeds[rows], self.positions[rows])


def seed_of(options: Options, temperature: float) -> int:
    """Return the seed of an attempt at `temperature`.

    It is random where the request has a temperature without a seed; the temperature fallback
    gives the same text every time.
    """
    if options.temperature > 0 and options.seed is None:
        return random.getrandbits(63)
    return ((options.seed or 0) ^ (round(1000 * temperature) << 48)) & (2**63 - 1)


def sample(scores: torch.Tensor, sampling: SamplingState) -> torch.Tensor:
    """Sample tokens, [rows], by the softmax of scores [rows, vocabulary] / temperature."""
    if scores.device.type == "cpu":  # noise for rows without a temperature would cost time
        tokens = scores.argmax(dim=1)
        sampled = sampling.temperatures.nonzero().flatten()
        tokens[sampled] = _sampled(scores[sampled], sampling[sampled])
        return tokens
    return _sampled(scores, sampling)


def _sampled(scores: torch.Tensor, sampling: SamplingState) -> torch.Tensor:
    noise = gumbel(sampling.seeds, sampling.positions, scores.shape[1])
    noisy = scores + noise * sampling.temperatures[:, None]  # as scores / T + noise, times T
    return noisy.argmax(dim=1)


def gumbel(seeds: torch.Tensor, positions: torch.Tensor, size: int) -> torch.Tensor:
    """Return finite Gumbel noise, [rows, size], float32."""
    keys = mixed(mixed(mixed(seeds & MASK) ^ (seeds >> BITS)) ^ positions)
    tokens = torch.arange(size, device=seeds.device)
    uniform = (mixed(tokens ^ keys[:, None]).float() + 0.5) * 2.0**-BITS
    return -torch.log(-torch.log1p(-uniform.clamp_(max=HIGHEST)))


def mixed(numbers: torch.Tensor) -> torch.Tensor:
    """Hash each number to 32 bits, int64; neighbours have nothing in common."""
    numbers = numbers ^ (numbers >> 16)
    numbers = (numbers * FACTORS[0]).bitwise_and_(MASK)
    numbers = numbers ^ (numbers >> 15)
    numbers = (numbers * FACTORS[1]).bitwise_and_(MASK)
    return numbers ^ (numbers >> 15)
