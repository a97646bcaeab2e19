"""Sampling whose chance is a row's own: decided by its seed, the position and the token alone.

So a window's text does not depend on what else is in flight, nor on the slot, the launch or the
device, and the same seed writes it again. The noise is a hash of integers instead of a generator's
state, as counter-based generators do it (Salmon et al., "Parallel random numbers: as easy as 1, 2,
3", 2011).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch

from asr.options import Options

BITS = 32
MASK = 2**BITS - 1
FACTORS = (0x21F0AAAD, 0x735A2D97)  # below 2^31: no product overflows int64
HIGHEST = 1 - 2**-24  # the float32 before 1


@dataclass(frozen=True)
class SamplingState:
    """What decides the next token of each row; all tensors are [rows]."""

    temperatures: torch.Tensor  # float32: 0 for the likeliest token
    seeds: torch.Tensor  # int64, not negative
    positions: torch.Tensor  # int64: of the token that is to be written

    def __getitem__(self, rows: torch.Tensor) -> SamplingState:
        return SamplingState(self.temperatures[rows], self.seeds[rows], self.positions[rows])


def seed_of(options: Options, temperature: float) -> int:
    """The seed of a window written at `temperature`.

    Chance itself where a temperature is asked without a seed; second attempts are the same every
    time.
    """
    if options.temperature > 0 and options.seed is None:
        return random.getrandbits(63)
    return ((options.seed or 0) ^ (round(1000 * temperature) << 48)) & (2**63 - 1)


def draw(scores: torch.Tensor, chance: SamplingState) -> torch.Tensor:
    """Tokens, [rows], by the softmax of scores [rows, vocabulary] over the temperature."""
    if scores.device.type == "cpu":  # where rows without a temperature would cost time
        tokens = scores.argmax(dim=1)
        hot = chance.temperatures.nonzero().flatten()
        tokens[hot] = _drawn(scores[hot], chance[hot])
        return tokens
    return _drawn(scores, chance)


def _drawn(scores: torch.Tensor, chance: SamplingState) -> torch.Tensor:
    noise = gumbel(chance.seeds, chance.positions, scores.shape[1])
    return (scores + noise * chance.temperatures[:, None]).argmax(dim=1)  # as of scores / T + noise


def gumbel(seeds: torch.Tensor, positions: torch.Tensor, size: int) -> torch.Tensor:
    """Finite Gumbel noise, [rows, size], float32."""
    keys = mixed(mixed(mixed(seeds & MASK) ^ (seeds >> BITS)) ^ positions)
    tokens = torch.arange(size, device=seeds.device)
    uniform = (mixed(tokens ^ keys[:, None]).float() + 0.5) * 2.0**-BITS
    return -torch.log(-torch.log1p(-uniform.clamp_(max=HIGHEST)))


def mixed(numbers: torch.Tensor) -> torch.Tensor:
    """Another number of 32 bits for each, int64; neighbours have nothing in common."""
    numbers = numbers ^ (numbers >> 16)
    numbers = (numbers * FACTORS[0]).bitwise_and_(MASK)
    numbers = numbers ^ (numbers >> 15)
    numbers = (numbers * FACTORS[1]).bitwise_and_(MASK)
    return numbers ^ (numbers >> 15)
