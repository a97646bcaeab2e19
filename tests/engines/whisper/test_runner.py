"""What a graphics card runs, on tensors that claim to be on one and hold nothing.

Whatever waits for a card cannot be answered by such tensors, and what lies on the CPU is
seen: so is known, where there is no card, what `decode` may do within a capture.
"""

from __future__ import annotations

from collections import abc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from asr.engines.whisper import runner
from asr.engines.whisper.batch import RunningBatch
from asr.engines.whisper.capacity import plan
from asr.engines.whisper.model import forward
from asr.engines.whisper.model.alignment import Stretch, align, scores_of
from asr.engines.whisper.model.features import log_mel
from asr.engines.whisper.model.forward import encode
from asr.engines.whisper.model.transfer import to_device
from asr.engines.whisper.runner import (
    UNDETECTED,
    DecodeShape,
    ModelRunner,
    Opening,
    decode,
    prefill,
)
from asr.engines.whisper.sequence import Sequence
from tests.support import models
from tests.support.pretended import CARD, Devices, moved, pretending
from tests.support.twins import Twins

SLOTS, STEPS = 6, 4
GIB = 2**30


@pytest.fixture(scope="module")
def unpacked() -> Twins:
    return Twins.of(models.TINY, keeps_encoder_output=True)


def model_runner(twins: Twins, keeps_encoder_output: bool) -> ModelRunner:
    parts = twins.checkpoint
    weights, rules = moved(parts.weights, torch.float16), moved(parts.rules, torch.float16)
    return ModelRunner.assemble(weights, rules, parts.vocabulary, SLOTS, keeps_encoder_output)


OPENINGS = [
    Opening((50258, 50259, 50359), 0, is_timed=True, temperature=0.0, aligns=True),
    Opening((50361, 7, 8, 50258, UNDETECTED, 50359), 3, True, 0.4, 9, languages=(50259, 50261)),
]
GOES_ON = Opening((50258, 50259, 50359, 50363, 7, 8), 0, False, 0.0, prefix=(7, 8), aligns=True)
KINDS = [(samples, aligns) for samples in (False, True) for aligns in (False, True)]


@pytest.mark.parametrize("keeps_encoder_output", [False, True], ids=["keys and values", "whole"])
@pytest.mark.parametrize(("samples", "aligns"), KINDS)
def test_what_is_captured_neither_waits_for_the_card_nor_leaves_it(
    unpacked: Twins, keeps_encoder_output: bool, samples: bool, aligns: bool
) -> None:
    with pretending():
        made = model_runner(unpacked, keeps_encoder_output)
        with Devices() as devices:
            found = decode(made, DecodeShape(3, 16, samples, aligns), STEPS)
    assert found.shape == (STEPS, 2, 3)
    assert found.device == CARD
    assert devices.count > 100
    assert not devices.elsewhere


def asks_for_a_number(hidden: torch.Tensor) -> None:
    hidden.sum().item()


def decides(hidden: torch.Tensor) -> None:
    if (hidden > 0).any():
        hidden.add_(1)


def copies_to_the_host(hidden: torch.Tensor) -> None:
    hidden.cpu()


def sends_a_number(hidden: torch.Tensor) -> None:
    hidden.add_(torch.tensor(1.0).to(hidden.device))


def mixes(hidden: torch.Tensor) -> None:
    hidden.add_(torch.ones(hidden.shape[1], dtype=hidden.dtype))


def picks(hidden: torch.Tensor) -> None:
    hidden.nonzero()


@pytest.mark.parametrize(
    "mistake", [asks_for_a_number, decides, copies_to_the_host, sends_a_number, mixes, picks]
)
def test_each_mistake_within_a_capture_would_be_seen(
    unpacked: Twins, monkeypatch: pytest.MonkeyPatch, mistake: Callable[[torch.Tensor], None]
) -> None:
    decode = forward.decode

    def mistaken(*given: Any) -> torch.Tensor:
        hidden = decode(*given)
        mistake(hidden)
        return hidden

    monkeypatch.setattr(runner.forward, "decode", mistaken)
    with pytest.raises((AssertionError, RuntimeError)) as caught:
        test_what_is_captured_neither_waits_for_the_card_nor_leaves_it(
            unpacked, False, samples=False, aligns=False
        )
    assert "not linked" not in str(caught.value), "seen for want of a driver alone"


@pytest.mark.parametrize("keeps_encoder_output", [False, True], ids=["keys and values", "whole"])
def test_rows_begin_on_the_card_and_nothing_waits_for_it(
    unpacked: Twins, keeps_encoder_output: bool
) -> None:
    with pretending():
        made = model_runner(unpacked, keeps_encoder_output)
        settings = moved(unpacked.checkpoint.log_mel, torch.float32)
        samples = torch.empty(2, settings.window_samples, device=CARD)
        features = log_mel(samples, settings).half()
        with Devices() as devices:
            encoded = encode(made.weights.encoder, features)
            made.cache.cross.store(1, encoded)
            made.move(2, 0, 5)
        assert not devices.elsewhere
        found = prefill(made, 1, [*OPENINGS, GOES_ON])
    assert found.device == CARD
    assert found.shape == (4 + len(made.vocabulary.languages), 3)


class Copied:
    """Stands for torch.cuda.Event."""

    streams: abc.Sequence[object] = ()

    def record(self, stream: object) -> None:
        Copied.streams = [*Copied.streams, stream]


@pytest.mark.parametrize("keeps_encoder_output", [False, True], ids=["keys and values", "whole"])
def test_rows_are_flown_and_written_again_on_the_card_that_was_chosen(
    unpacked: Twins, monkeypatch: pytest.MonkeyPatch, keeps_encoder_output: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "Event", Copied)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: device)
    monkeypatch.setattr(Copied, "streams", ())
    planned = replace(plan(unpacked.checkpoint.weights, GIB), lookahead=9, side_by_side=False)
    frames = unpacked.checkpoint.weights.encoder.positions.shape[0]
    with pretending():
        made = model_runner(unpacked, keeps_encoder_output)
        batch = RunningBatch(made, planned)
        [window] = models.windows(1)
        rows = [Sequence(window, opening, limit=9) for opening in OPENINGS]
        start = batch.make_room(2)
        encoded = torch.empty(2, frames, 48, dtype=torch.float16, device=CARD)
        batch.windows.store(start, encoded)
        batch.prefill(rows, start)
        batch.decode()
        batch.release(rows[0])
        rows[0].tokens = [1, 2, 3]
        inputs = batch.alignment_inputs(rows[0], 20)
        assert (inputs.queries.device, inputs.keys.device) == (CARD, CARD)
        assert inputs.keys.shape == (len(made.weights.decoder.aligning), 20, 16)
        firsts = np.zeros(3, np.int64)
        with Devices() as devices:
            scores = scores_of(inputs, firsts, 9)
        with Devices() as sending:
            to_device(firsts, CARD)
        assert devices.elsewhere == sending.elsewhere, "nothing comes back"
        assert (scores.device, scores.shape) == (CARD, (3, 9))
        on_their_way = align(inputs, [Stretch([1, 2], 0.0, 0.4)]).scores
        assert on_their_way.values.shape == (3, 21)
        fresh = batch.retry(rows[0], temperature=0.2, seed=1)
        batch.decode()
        assert batch.active == [fresh, rows[1]]
    assert list(Copied.streams) == [CARD] * 5
