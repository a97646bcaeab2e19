"""Memory is planned from what is free; when it runs out the engine shrinks and lives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from asr.engines.engine import Window
from asr.engines.whisper import batch
from asr.engines.whisper.capacity import CPU_SLOTS, INT8_SLOTS, plan
from asr.engines.whisper.encoding import encoder
from asr.engines.whisper.model import int8
from asr.engines.whisper.model.forward import encode
from asr.engines.whisper.model.kv_cache import KVCache, slot_bytes
from asr.engines.whisper.model.weights import Weights
from asr.options import Options
from tests.support import models
from tests.support.models import Caller, RecordingEngine, noise, recording, windows, written
from tests.support.pretended import CARD, pretending
from tests.support.twins import Twins

CPU = torch.device("cpu")


def refusing(function: Callable[..., Any], is_too_much: Callable[..., bool]) -> Any:
    """`function`, out of memory where `is_too_much`."""

    def limited(*arguments: Any, **named: Any) -> Any:
        if is_too_much(*arguments):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return function(*arguments, **named)

    return limited


def test_slots_are_as_many_as_fit_within_half_of_what_is_free(tiny: Twins) -> None:
    loaded = tiny.checkpoint.weights
    each = slot_bytes(loaded)
    assert plan(loaded, free=10 * each).slots == 5
    assert plan(loaded, free=10**15).slots == CPU_SLOTS
    assert plan(loaded, free=0).slots == 1


@pytest.mark.skipif(not int8.is_usable(), reason="this CPU or torch has no int8")
def test_in_int8_there_are_fewer_slots(tiny: Twins) -> None:
    loaded = models.checkpoint(tiny.model, tiny.shape, quantizes=True).weights
    assert plan(loaded, free=10**15).slots == INT8_SLOTS < CPU_SLOTS


def test_a_plan_is_halved_down_to_one_window(tiny: Twins) -> None:
    smaller = recording(tiny.checkpoint, slots=5, encoder_batch=4, buckets=(1, 2, 4, 5))._plan
    seen = []
    while smaller != smaller.halved():
        smaller = smaller.halved()
        seen.append(
            (smaller.slots, smaller.encoder_batch, smaller.buckets, smaller.keeps_encoder_output)
        )
    assert seen == [
        (5, 2, (1, 2, 4, 5), False),
        (5, 1, (1, 2, 4, 5), False),
        (5, 1, (1, 2, 4, 5), True),
        (2, 1, (1, 2), True),
        (1, 1, (1,), True),
    ]


def test_without_a_gpu_keys_and_values_are_kept_however_few(tiny: Twins) -> None:
    smallest = recording(tiny.checkpoint, slots=5)._plan
    while smallest != smallest.halved():
        smallest = smallest.halved()
    assert (smallest.slots, smallest.keeps_encoder_output) == (1, False)
    assert not plan(tiny.checkpoint.weights, free=0).keeps_encoder_output


def test_an_encoder_batch_that_does_not_fit_is_halved(
    tiny: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = windows(12)
    expected = written(recording(tiny.checkpoint), asked)
    monkeypatch.setattr(encoder, "encode", refusing(encode, lambda _, x, __: len(x) > 2))
    engine = recording(tiny.checkpoint, slots=8, encoder_batch=8)
    assert written(engine, asked) == expected
    assert engine._plan.encoder_batch == 2
    assert engine.capacity == 8


def test_rows_that_do_not_fit_wait_until_the_slots_are_fewer(
    tiny: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = windows(12)
    expected = written(recording(tiny.checkpoint), asked)
    decode = batch.decode
    monkeypatch.setattr(batch, "decode", refusing(decode, lambda _, shape, __: shape.rows > 2))
    engine = recording(tiny.checkpoint, slots=8, encoder_batch=1)
    assert written(engine, asked) == expected
    assert engine.capacity == 2
    assert engine._batch.free == 2


def test_words_whose_alignment_does_not_fit_are_decoded_again(
    tiny: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options("en", timestamps="word")
    asked = [Window(noise(seed, 2.0), 0.0, options) for seed in range(6)]
    expected = timed(recording(tiny.checkpoint), asked)
    calls: list[int] = []
    align = KVCache.alignment_inputs
    monkeypatch.setattr(
        KVCache,
        "alignment_inputs",
        refusing(align, lambda *_: calls.append(1) or len(calls) in (1, 4)),
    )
    engine = recording(tiny.checkpoint, slots=4, encoder_batch=1)
    assert timed(engine, asked) == expected
    assert len(calls) == len(asked) + 2
    assert engine.capacity == 1
    assert engine._batch.free == 1


def timed(engine: RecordingEngine, asked: list[Window]) -> list[list[tuple[str, float, float]]]:
    """The words of each window."""
    caller = Caller(engine)
    caller.run(asked)
    found = [[w for s in caller.finals[window].segments for w in s.words] for window in asked]
    assert all(found)
    return [[(word.text, word.start, word.end) for word in words] for words in found]


def test_slots_that_cannot_be_allocated_are_halved(
    tiny: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    allocate = KVCache.allocate
    monkeypatch.setattr(KVCache, "allocate", refusing(allocate, lambda _, count, *__: count > 3))
    engine = recording(tiny.checkpoint, slots=8, encoder_batch=1)
    assert engine.capacity == 2
    monkeypatch.setattr(KVCache, "allocate", refusing(allocate, lambda *_: True))
    with pytest.raises(torch.OutOfMemoryError):
        recording(tiny.checkpoint, slots=8)


def test_the_batch_that_fits_is_found_before_any_request_comes(
    tiny: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = recording(tiny.checkpoint, slots=8, encoder_batch=8)
    monkeypatch.setattr(encoder, "encode", refusing(encode, lambda _, x, __: len(x) > 2))
    engine.warm_up()
    assert engine._plan.encoder_batch == 2
    assert engine.held() == 0
    assert engine._batch.free == 8


def test_a_window_that_never_fits_is_answered_and_the_next_one_is_transcribed(
    tiny: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = windows(3)
    engine = recording(tiny.checkpoint)
    with monkeypatch.context() as patch:
        patch.setattr(encoder, "encode", refusing(encode, lambda *_: True))
        caller = Caller(engine)
        caller.run(asked)
        for window in asked:
            assert "out of memory" in str(caller.finals[window].error)
    assert engine.held() == 0
    assert written(engine, asked) == written(recording(tiny.checkpoint), asked)


def test_a_broken_device_ends_the_engine(tiny: Twins, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    engine = recording(tiny.checkpoint)
    monkeypatch.setattr(encoder, "encode", broken)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        engine.step(windows(1))


GIB = 2**30
SIZES = {"large-v3": (32, 10, 3.09e9), "large-v3-turbo": (4, 6, 1.62e9), "distil": (2, 20, 1.51e9)}
SLOTS_THAT_FIT = [
    # model, GiB of the card, of these taken by others → slots, whether the encoder's output is kept
    ("large-v3", 6, 0.4, 13, True),
    ("large-v3", 8, 0.4, 9, False),
    ("large-v3", 8, 1.2, 28, True),
    ("large-v3", 12, 0.4, 21, False),
    ("large-v3", 12, 1.2, 18, False),
    ("large-v3-turbo", 6, 0.4, 58, False),
    ("large-v3-turbo", 8, 0.4, 106, False),
    ("large-v3-turbo", 8, 1.2, 87, False),
    ("large-v3-turbo", 12, 0.4, 128, False),
    ("distil", 6, 0.4, 115, False),
    ("distil", 8, 0.4, 128, False),
]


def published(layers: int, aligning: int, twins: Twins) -> Weights:
    """As much of a checkpoint of large-v3's width as a plan looks at."""
    given = twins.checkpoint.weights
    half = {"dtype": torch.float16, "device": CARD}
    decoder = replace(
        given.decoder,
        tokens=torch.empty(51866, 1280, **half),
        positions=torch.empty(448, 1280, **half),
        layers=given.decoder.layers[:1] * layers,
        heads=20,
        aligning=((0, 0),) * aligning,
    )
    encoder = replace(given.encoder, positions=torch.empty(1500, 1280, **half))
    return Weights(encoder, decoder)


@pytest.mark.parametrize(("name", "card", "taken", "slots", "is_whole"), SLOTS_THAT_FIT)
def test_small_cards_have_many_windows_in_flight(
    name: str, card: int, taken: float, slots: int, is_whole: bool
) -> None:
    twins = Twins.of(models.TINY, keeps_encoder_output=True)
    layers, aligning, size = SIZES[name]
    with pretending():
        weights = published(layers, aligning, twins)
        planned = plan(weights, free=int((card - taken) * GIB - size))
    assert (planned.slots, planned.keeps_encoder_output) == (slots, is_whole)
    assert planned.buckets[-1] == slots
