"""Tokens are found where they were said, along ridges that are known and through real models."""

from __future__ import annotations

import copy
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers.models.whisper.generation_whisper import _dynamic_time_warping, _median_filter

from asr.engines.whisper.model.alignment import (
    AlignmentInputs,
    Stretch,
    align,
    heads_of,
    path,
    scores_of,
    smoothed,
)
from asr.options import Options
from tests.support import models
from tests.support.twins import Twins

pytestmark = pytest.mark.both_forms


def ridge(starts: list[int], frames: int, heads: int = 2, noise: float = 0.0) -> AlignmentInputs:
    """Heads that attend to token i + 1 from `starts[i]` to the next one's start."""
    queries = noise * torch.randn(heads, len(starts) + 1, frames)
    for token, (start, stop) in enumerate(zip(starts, [*starts[1:], frames], strict=True), 1):
        queries[:, token, start:stop] += 5
    return AlignmentInputs(queries, torch.eye(frames).expand(heads, -1, -1))


def best_path(scores: np.ndarray[Any, Any]) -> list[int]:
    """Of all ways there are, the one with the highest total."""
    tokens, frames = scores.shape

    def total(starts: tuple[int, ...]) -> float:
        spans = zip((0, *starts), (*starts, frames), strict=True)
        return float(sum(scores[i, a:b].sum() for i, (a, b) in enumerate(spans)))

    return [0, *max(combinations(range(1, frames), tokens - 1), key=total)]


@pytest.mark.parametrize("tokens", [1, 2, 3, 5, 9])
def test_the_path_is_the_best_of_all(tokens: int) -> None:
    generator = np.random.default_rng(tokens)
    for _ in range(20):
        scores = generator.normal(size=(tokens, 9)).astype(np.float32)
        assert path(scores) == best_path(scores)


def test_the_path_along_a_ridge_is_that_of_transformers() -> None:
    generator = np.random.default_rng(0)
    for _ in range(10):
        starts = np.sort(generator.choice(np.arange(1, 200), 24, replace=False))
        scores = generator.normal(-1, 0.1, (25, 200)).astype(np.float32)
        for token, (first, stop) in enumerate(zip([0, *starts], [*starts, 200], strict=True)):
            scores[token, first:stop] += 2
        tokens, frames = _dynamic_time_warping(-scores.astype(np.float64))
        jumps = np.pad(np.diff(tokens), (1, 0), constant_values=1).astype(bool)
        assert path(scores) == frames[jumps].tolist() == [0, *starts]


def test_medians_are_those_of_transformers() -> None:
    values = torch.randn(3, 5, 40)
    expected = _median_filter(values, 7)[..., 3:-3]
    assert torch.equal(smoothed(values), expected)


@pytest.mark.parametrize("heads", [1, 2, 11])
def test_tokens_are_found_where_they_were_said(heads: int) -> None:
    starts = [0, 20, 31, 60, 95, 100, 140]  # the fourth one's place is a time, not text
    inputs = ridge(starts, 160, heads, noise=0.5)
    first, second = align(
        inputs, [Stretch(range(1, 4), 0.0, 1.2), Stretch(range(5, 7), 1.9, 2.8)]
    ).times()
    assert first == pytest.approx([0.0, 0.4, 0.62, 1.2], abs=0.021)
    assert second == pytest.approx([1.9, 2.0, 2.8], abs=0.021)


def test_what_follows_the_text_takes_the_pause_behind_it() -> None:
    inputs = ridge([0, 20, 50], 100)  # the third token closes the segment
    [times] = align(inputs, [Stretch(range(1, 3), 0.0, 2.0)]).times()
    assert times == pytest.approx([0.0, 0.4, 1.0], abs=0.021)


def test_text_that_nothing_follows_goes_on_to_the_end() -> None:
    inputs = ridge([0, 20], 100)
    [times] = align(inputs, [Stretch(range(1, 3), 0.0, 1.99)]).times()
    assert times == pytest.approx([0.0, 0.4, 1.99], abs=0.021)


@pytest.mark.parametrize("end", [1.0, 1.04])
def test_more_tokens_than_frames_share_the_time_evenly(end: float) -> None:
    inputs = ridge([0, 20, 30, 40, 60], 100)
    [times] = align(inputs, [Stretch(range(1, 5), 1.0, end)]).times()
    assert times == pytest.approx(np.linspace(1.0, end, 5))


def test_times_stay_within_their_stretch_and_never_go_back() -> None:
    generator = np.random.default_rng(1)
    for seed in range(30):
        inputs = AlignmentInputs(
            torch.randn(3, 21, 64), torch.randn(3, int(generator.integers(5, 90)), 64)
        )
        length = inputs.keys.shape[1] / 50
        ends = np.sort(generator.uniform(0, length + 0.01, 4)).round(2)
        stretches = [Stretch(range(1 + 5 * i, 5 + 5 * i), ends[i], ends[i + 1]) for i in range(3)]
        for stretch, times in zip(stretches, align(inputs, stretches).times(), strict=True):
            assert len(times) == 5, seed
            assert (np.diff(times) >= 0).all()
            assert stretch.start <= times[0]
            assert times[-1] <= stretch.end
            if stretch.end - stretch.start >= 0.12:
                assert (np.diff(times) > 0).all()


def test_scores_past_the_end_are_those_of_the_last_frame() -> None:
    inputs = ridge([0, 5], 12)
    scores = scores_of(inputs, np.array([0, 0, 8]), 9).numpy()
    assert np.isfinite(scores).all()
    assert (scores[2, 7:] == scores[2, 7]).all()


def aligning_heads(layers: int = 4, **named: Any) -> list[tuple[int, int]]:
    return list(heads_of(SimpleNamespace(**named), layers, 2))


def test_alignment_heads_are_those_that_the_checkpoint_names() -> None:
    assert aligning_heads(alignment_heads=[[2, 1], [1, 0], [2, 0]]) == [(1, 0), (2, 0), (2, 1)]


@pytest.mark.parametrize("named", [{}, {"alignment_heads": None}, {"alignment_heads": [[7, 0]]}])
def test_without_alignment_heads_the_upper_half_follows(named: dict[str, Any]) -> None:
    assert aligning_heads(**named) == [(2, 0), (2, 1), (3, 0), (3, 1)]
    assert aligning_heads(1, **named) == [(0, 0), (0, 1)]


@torch.inference_mode()
def test_what_heads_keep_is_the_attention_of_the_model(twins: Twins) -> None:
    options = [Options(language="en", timestamps="word", prompt="11 22"), Options(language="en")]
    engine = models.recording(twins.checkpoint)
    asked = models.windows(4, options)
    kept: dict[Any, AlignmentInputs] = {}
    final = engine._final

    def keeping(sequence: Any) -> Any:
        kept[sequence.window] = engine._batch.alignment_inputs(sequence, models.SECONDS * 50)
        return final(sequence)

    engine._final = keeping  # type: ignore[method-assign]
    models.written(engine, asked)
    eager = copy.deepcopy(twins.model)
    eager.set_attn_implementation("eager")
    for window in asked:
        if window.options.timestamps != "word":
            continue
        row = engine.sequences[window]
        opening = [*row.opening.tokens]
        features = twins.extractor(window.samples, sampling_rate=16_000, return_tensors="pt")
        tokens = torch.tensor([[*opening, *row.tokens]])
        found = eager(
            input_features=features.input_features, decoder_input_ids=tokens, output_attentions=True
        )
        heads = twins.checkpoint.weights.decoder.aligning
        for place, (layer, head) in enumerate(heads):
            expected = found.cross_attentions[layer][0, head, len(opening) : -1]
            inputs = kept[window]
            scores = inputs.queries[place, 1:] @ inputs.keys[place].T
            assert torch.allclose(scores.softmax(dim=1), expected, atol=1e-5)
