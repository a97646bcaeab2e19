"""On an NVIDIA GPU: captured launches, half precision, and memory that does not grow.

Where there is none the same is asked of a stand-in, so that what is asked is sound.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from asr.engines.whisper import cuda_graphs, runner
from asr.engines.whisper.capacity import plan
from asr.engines.whisper.checkpoint import Checkpoint
from asr.engines.whisper.model.features import log_mel
from asr.engines.whisper.model.forward import decode, encode, prefill
from asr.engines.whisper.model.kv_cache import KVCache
from asr.engines.whisper.model.weights import linear
from asr.options import Options, Thresholds
from tests.support import models
from tests.support.card import Card
from tests.support.twins import Twins

pytestmark = pytest.mark.both_forms


WINDOWS = 4
OPENING = torch.tensor([[50258, 50259, 50359]] * WINDOWS)
WRITTEN = (7919 * torch.arange(24 * WINDOWS)).view(WINDOWS, 24) % 50_000  # words, no two alike
KINDS = [
    Options("en", temperature=0.8, seed=3),
    Options("de", timestamps="word"),
    Options(thresholds=Thresholds(avg_logprob=0.0, compression_ratio=2.4)),
]


@pytest.fixture(
    params=[pytest.param("cuda", marks=pytest.mark.gpu), "cpu"], ids=["gpu", "stand-in"]
)
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    convolutions: Any = torch.backends.cudnn.conv
    before = convolutions.fp32_precision
    convolutions.fp32_precision = "ieee"
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "cpu":
            Card.stand_in(patch)
        yield torch.device(request.param)
    convolutions.fp32_precision = before


def on(device: torch.device, twins: Twins, dtype: torch.dtype = torch.float32) -> Checkpoint:
    model = copy.deepcopy(twins.model).to(device, dtype)
    return models.checkpoint(model, twins.shape, keeps_encoder_output=True)


def recording(
    loaded: Checkpoint, keeps_encoder_output: bool, is_captured: bool = True
) -> models.RecordingEngine:
    planned = replace(
        plan(loaded.weights),
        slots=8,
        encoder_batch=4,
        steps=4,
        launches=1,
        lookahead=1,
        few_rows=5,
        encoder_spacing=8,
        head_start=0,
        buckets=(1, 2, 4, 8) if is_captured else (),
        lengths=(16, models.POSITIONS) if is_captured else (),
        keeps_encoder_output=keeps_encoder_output,
    )
    engine = models.RecordingEngine(loaded, planned, models.INFO)
    engine.warm_up()
    while engine.prepare():
        pass
    assert (engine._batch._graphs is not None) == is_captured
    return engine


@pytest.mark.parametrize("options", [models.OPTIONS, KINDS], ids=["likeliest", "drawn or timed"])
def test_captured_launches_write_what_plain_ones_do(
    tiny: Twins, keeps_encoder_output: bool, device: torch.device, options: list[Options]
) -> None:
    """Second attempts too: they begin anew in a slot that launches under way still write to."""
    loaded, asked = on(device, tiny), models.windows(16, options)
    engine = recording(loaded, keeps_encoder_output)
    captured = models.written(engine, asked)
    assert captured == models.written(engine, asked), "a replay has spoilt what another one reads"
    assert captured == models.written(
        recording(loaded, keeps_encoder_output, is_captured=False), asked
    )
    assert captured == models.written(models.recording(tiny.checkpoint), asked)


def scores(loaded: Checkpoint, keeps_encoder_output: bool) -> torch.Tensor:
    """Logits of a text, read and then written token by token, [windows, tokens, vocabulary]."""
    weights, device = loaded.weights, loaded.weights.device
    samples = loaded.log_mel.pad([window.samples for window in models.windows(WINDOWS)])
    features = log_mel(samples, loaded.log_mel).to(weights.dtype)
    cache = KVCache.allocate(weights, WINDOWS, keeps_encoder_output)
    cache.cross.store(0, encode(weights.encoder, features))
    hidden = [prefill(weights, cache, 0, OPENING.to(device))]
    for place, tokens in enumerate(WRITTEN.to(device).T, OPENING.shape[1]):
        positions = torch.full((WINDOWS,), place, device=device)
        hidden.append(decode(weights, cache, tokens, positions, models.POSITIONS)[:, None])
    return linear(torch.cat(hidden, dim=1), weights.decoder.head).float().cpu()


@torch.inference_mode()
def test_half_precision_scores_and_the_likeliest_tokens_are_nearly_the_exact_ones(
    tiny: Twins, keeps_encoder_output: bool, device: torch.device
) -> None:
    exact = scores(on(torch.device("cpu"), tiny), keeps_encoder_output)
    half = scores(on(device, tiny, torch.float16), keeps_encoder_output)
    assert (half - exact).norm() < 0.02 * exact.norm()
    best, second = exact.topk(2, dim=2).values.unbind(dim=2)
    is_clear = best - second > 0.1
    assert is_clear.float().mean() > 0.7
    assert (half.argmax(dim=2) == exact.argmax(dim=2))[is_clear].all()


def test_half_precision_mostly_agrees_on_the_first_tokens(
    tiny: Twins, keeps_encoder_output: bool, device: torch.device
) -> None:
    asked = models.windows(32)
    exact = models.written(models.recording(tiny.checkpoint), asked)
    half = models.written(recording(on(device, tiny, torch.float16), keeps_encoder_output), asked)
    agreed = sum(a[:5] == b[:5] for a, b in zip(exact, half, strict=True))
    assert agreed >= 0.8 * len(asked)


@pytest.mark.gpu
def test_memory_does_not_grow_over_ten_thousand_steps(
    tiny: Twins, keeps_encoder_output: bool
) -> None:
    engine = recording(on(torch.device("cuda"), tiny, torch.float16), keeps_encoder_output)
    asked = models.windows(40, [*models.OPTIONS, *KINDS])
    models.written(engine, asked)
    while engine.prepare():  # timed words are known of now
        pass
    models.written(engine, asked)
    allocated, reserved = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    steps = 0
    while steps < 10_000:
        engine.sequences.clear()
        written = models.written(engine, asked)
        steps += sum(len(tokens) for tokens in written) // engine.capacity  # or more
    assert torch.cuda.memory_allocated() <= allocated
    assert torch.cuda.memory_reserved() <= reserved + 2**26


def test_a_launch_that_cannot_be_captured_runs_as_it_is(
    device: torch.device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The last of these: torch 2.11 captures nothing more in this process."""

    def waiting(*given: Any) -> torch.Tensor:
        found = runner.decode(*given)
        if torch.cuda.is_current_stream_capturing():
            torch.cuda.synchronize()
        return found

    loaded, asked = on(device, Twins.of(models.TINY)), models.windows(8)
    expected = models.written(
        recording(loaded, keeps_encoder_output=False, is_captured=False), asked
    )
    before = torch.cuda.current_stream()
    monkeypatch.setattr(cuda_graphs, "decode", waiting)
    engine = recording(loaded, keeps_encoder_output=False)
    assert torch.cuda.current_stream() == before
    assert models.written(engine, asked) == expected
    assert caplog.text.count("cannot be captured") == 1
    assert "CUDA error" in caplog.text
