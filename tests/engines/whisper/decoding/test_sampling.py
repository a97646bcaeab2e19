"""What is drawn follows the model's probabilities, and nothing but seed and position decides it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from asr.engines.engine import Window
from asr.engines.whisper.decoding.sampling import SamplingState, gumbel, sample, seed_of
from asr.options import Options
from tests.support.models import POSITIONS, noise, recording, windows, written
from tests.support.twins import Twins

CRITICAL = 27.9  # of chi squared with 9 degrees of freedom: one in a thousand is above
COUNT = 10_000  # draws
SIZE = 300  # of the vocabulary


def along(axis: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Seeds and positions of draws that differ in one of them alone."""
    numbers, same = torch.arange(COUNT), torch.full((COUNT,), 7)
    return (numbers, same) if axis == "seeds" else (same, numbers)


@pytest.mark.parametrize("axis", ["seeds", "positions"])
@pytest.mark.parametrize("temperature", [0.2, 1.0, 2.0])
def test_drawn_tokens_follow_the_tempered_probabilities(axis: str, temperature: float) -> None:
    """Ten words, near and far: a hash must be fair to all of them."""
    places = torch.tensor([0, 1, 2, 3, 64, 65, 127, 128, 255, 299])
    logits = torch.linspace(0.0, 2.0 * min(temperature, 1.0), 10)
    scores = torch.full((SIZE,), -torch.inf)
    scores[places] = logits
    seeds, positions = along(axis)
    heat = torch.full((COUNT,), temperature)
    tokens = sample(scores.expand(COUNT, -1), SamplingState(heat, seeds, positions))
    counts = torch.bincount(tokens, minlength=SIZE)
    expected = COUNT * (logits / temperature).softmax(dim=0)
    assert counts.sum() == counts[places].sum(), "what is forbidden was drawn"
    assert float(((counts[places] - expected) ** 2 / expected).sum()) < CRITICAL


def test_neighbours_have_nothing_in_common() -> None:
    """Neither tokens, nor positions, nor seeds that are one apart."""
    seeds, positions = torch.tensor([5, 5, 6, 2**40 + 5]), torch.tensor([3, 4, 3, 3])
    found = gumbel(seeds, positions, 50_000)
    assert found.isfinite().all()
    shifted = torch.cat([found, found[:1].roll(1, dims=1), found[:1].roll(2, dims=1)])
    correlations = torch.corrcoef(shifted).fill_diagonal_(0.0)
    assert correlations.abs().max() < 4 / 50_000**0.5
    assert abs(float(found.mean()) - 0.5772) < 0.02
    assert abs(float(found.var()) - 1.6449) < 0.05


def test_second_attempts_are_the_same_every_time_and_asked_chance_is_not() -> None:
    assert seed_of(Options(), 0.4) == seed_of(Options(), 0.4) != seed_of(Options(), 0.6)
    assert seed_of(Options(seed=3), 0.4) != seed_of(Options(), 0.4)
    asked = Options(temperature=0.7)
    assert seed_of(asked, 0.7) != seed_of(asked, 0.7)
    asked = Options(temperature=0.7, seed=-5)
    assert 0 <= seed_of(asked, 0.7) == seed_of(asked, 0.7) < 2**63


PLANS: dict[str, dict[str, Any]] = {
    "many at once": {"slots": 12, "encoder_batch": 5, "few_rows": 12},
    "four tokens, read late": {"slots": 5, "steps": 4, "launches": 1, "lookahead": 1},
    "padded to buckets": {"slots": 8, "buckets": (1, 4, 8), "lengths": (16, POSITIONS)},
}


@pytest.mark.parametrize("changes", PLANS.values(), ids=PLANS)
def test_a_seed_writes_the_same_text_whatever_else_is_in_flight(
    tiny: Twins, changes: dict[str, Any]
) -> None:
    kinds = [
        Options("en", temperature=1.0, seed=1),
        Options("en"),
        Options(temperature=0.4, seed=2, prompt="5 6"),
        Options("de", temperature=0.8, seed=1, timestamps="none"),
    ]
    asked = windows(16, kinds)
    alone = written(recording(tiny.checkpoint, slots=1, encoder_batch=1), asked)
    assert written(recording(tiny.checkpoint, **changes), asked) == alone
    assert written(recording(tiny.checkpoint, **changes), asked[::-1])[::-1] == alone
    others = [replace(w, options=replace(w.options, seed=9)) for w in asked]
    found = written(recording(tiny.checkpoint), others)
    differ = [one != other for one, other in zip(alone, found, strict=True)]
    assert any(differ[::4])
    assert not any(differ[1::4]), "a seed changed a greedy row"


def test_without_a_seed_every_request_is_another_chance(tiny: Twins) -> None:
    asked = [Window(noise(0), 0.0, Options("en", temperature=1.0)) for _ in range(6)]
    assert len({tuple(tokens) for tokens in written(recording(tiny.checkpoint), asked)}) > 1
