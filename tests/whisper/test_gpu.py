"""On an NVIDIA GPU: captured launches, half precision, and memory that does not grow."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from asr.transcript import Options, Thresholds
from asr.whisper.checkpoint import Checkpoint
from asr.whisper.features import log_mel
from asr.whisper.model import encode
from asr.whisper.plan import plan

from . import models
from .conftest import Twins

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def _exact_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn.conv, "fp32_precision", "ieee")


def on_gpu(twins: Twins, dtype: torch.dtype) -> Checkpoint:
    model = copy.deepcopy(twins.model).to("cuda", dtype)
    return models.checkpoint(model, twins.shape)


def recording(loaded: Checkpoint, is_captured: bool) -> models.RecordingEngine:
    planned = replace(plan(loaded.weights), slots=8, encoder_batch=4, buckets=(1, 2, 4, 8))
    if not is_captured:
        planned = replace(planned, buckets=(), lengths=())
    engine = models.RecordingEngine(loaded, planned, models.INFO)
    engine.warm_up()
    return engine


def test_captured_launches_write_what_plain_ones_do(tiny: Twins) -> None:
    loaded, asked = on_gpu(tiny, torch.float32), models.windows(24)
    captured = models.written(recording(loaded, is_captured=True), asked)
    assert captured == models.written(recording(loaded, is_captured=False), asked)
    assert captured == models.written(models.recording(tiny.checkpoint), asked)


def test_what_is_drawn_is_the_same_in_captured_launches_and_plain_ones(tiny: Twins) -> None:
    """Second attempts too: they begin anew in a slot that launches under way still write to."""
    kinds = [
        Options("en", temperature=0.8, seed=3),
        Options("de"),
        Options(thresholds=Thresholds(avg_logprob=0.0, compression_ratio=2.4)),
    ]
    loaded, asked = on_gpu(tiny, torch.float32), models.windows(24, kinds)
    captured = models.written(recording(loaded, is_captured=True), asked)
    assert captured == models.written(recording(loaded, is_captured=False), asked)
    assert captured == models.written(models.recording(tiny.checkpoint), asked)


@torch.inference_mode()
def test_half_precision_logits_are_near_the_exact_ones(tiny: Twins) -> None:
    exact, half = tiny.checkpoint, on_gpu(tiny, torch.float16)
    samples = exact.log_mel.pad([window.samples for window in models.windows(4)])
    expected = encode(exact.weights.encoder, log_mel(samples, exact.log_mel))
    features = log_mel(samples.cuda(), half.log_mel)
    found = encode(half.weights.encoder, features.half()).float().cpu()
    assert (found - expected).norm() < 0.01 * expected.norm()


def test_half_precision_mostly_agrees_on_the_first_tokens(tiny: Twins) -> None:
    asked = models.windows(32)
    exact = models.written(models.recording(tiny.checkpoint), asked)
    half = models.written(recording(on_gpu(tiny, torch.float16), is_captured=True), asked)
    agreed = sum(a[:5] == b[:5] for a, b in zip(exact, half, strict=True))
    assert agreed >= 0.8 * len(asked)


def test_memory_does_not_grow_over_ten_thousand_tokens(tiny: Twins) -> None:
    engine = recording(on_gpu(tiny, torch.float16), is_captured=True)
    models.written(engine, models.windows(40))
    before, count = torch.cuda.memory_allocated(), 0
    while count < 10_000:
        engine.rows.clear()
        count += sum(len(tokens) for tokens in models.written(engine, models.windows(40)))
    assert torch.cuda.memory_allocated() <= before
