"""Windows that are encoded side by side are what they are alone, and nothing of it stays."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import threadpoolctl
import torch

from asr.engines.engine import Window
from asr.engines.whisper.checkpoint import Checkpoint
from asr.engines.whisper.encoding import encoder
from asr.engines.whisper.encoding.encoder import WindowEncoder
from asr.engines.whisper.model.forward import encode
from asr.engines.whisper.model.kv_cache import KVCache
from tests.support import models
from tests.support.models import Caller, noise, recording, written
from tests.support.twins import Twins

OPENMP = threadpoolctl.ThreadpoolController().select(user_api="openmp")
LENGTHS = (0.5, 2.0, 1.0, 1.7)  # seconds


def asked(lengths: tuple[float, ...] = LENGTHS) -> list[Window]:
    options = models.OPTIONS[0]
    return [Window(noise(seed, length), 0.0, options) for seed, length in enumerate(lengths)]


@pytest.fixture(params=["float32", "int8", "int8, heads of 64"])
def loaded(tiny: Twins, wide_heads: Twins, request: pytest.FixtureRequest) -> Checkpoint:
    twins = wide_heads if "heads" in request.param else tiny
    return models.checkpoint(twins.model, twins.shape, quantizes="int8" in request.param)


@pytest.mark.parametrize("cores", [1, 2, 3, 8])
@torch.inference_mode()
def test_a_windows_numbers_are_the_same_alone_and_beside_others(
    loaded: Checkpoint, cores: int
) -> None:
    windows, encoding = asked(), WindowEncoder(loaded)
    alone, beside = (KVCache.allocate(loaded.weights, len(windows)).cross for _ in range(2))
    for slot, window in enumerate(windows):
        encoding.encode([window], alone, slot, side_by_side=True)
    torch.get_num_threads()
    with OPENMP.limit(limits=cores):
        encoding.encode(windows, beside, 0, side_by_side=True)
        assert torch.get_num_threads() == cores, "the decoder has fewer cores than before"
    for slot in range(len(windows)):
        assert alone.of(slot).any()
        assert torch.equal(beside.of(slot), alone.of(slot))


@torch.inference_mode()
def test_no_thread_outlives_its_window(loaded: Checkpoint) -> None:
    cross = KVCache.allocate(loaded.weights, len(LENGTHS)).cross
    before = threading.active_count()
    WindowEncoder(loaded).encode(asked(), cross, 0, side_by_side=True)
    assert threading.active_count() == before


def counted(function: Callable[..., Any], *, fails_at: int) -> Callable[..., Any]:
    """`function`, out of memory at one of its calls, which may be at the same time."""
    calls: list[None] = []
    lock = threading.Lock()

    def limited(*arguments: Any) -> Any:
        with lock:
            calls.append(None)
            fails = len(calls) == fails_at
        if fails:
            raise torch.OutOfMemoryError("out of memory")
        return function(*arguments)

    return limited


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_where_one_window_lacks_memory_all_are_encoded_in_smaller_batches(
    loaded: Checkpoint, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    windows = asked((0.5, 1.0, 2.0))
    plan: dict[str, Any] = {"encoder_batch": 3, "side_by_side": True}
    expected = written(recording(loaded, **plan), windows)
    monkeypatch.setattr(encoder, "encode", counted(encode, fails_at=fails_at))
    engine = recording(loaded, **plan)
    caller = Caller(engine)
    caller.run(windows)
    assert all(caller.finals[window].error is None for window in windows)
    assert [engine.sequences[window].tokens for window in windows] == expected
    assert engine._plan.encoder_batch == 1
