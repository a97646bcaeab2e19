"""On an NVIDIA GPU: captured launches, half precision, and memory that does not grow."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from asr.whisper.checkpoint import Checkpoint
from asr.whisper.plan import plan

from . import models
from .conftest import Twins

pytestmark = pytest.mark.gpu


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
