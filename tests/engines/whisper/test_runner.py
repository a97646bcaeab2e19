"""What a graphics card runs, on tensors that claim to be on one and hold nothing.

Whatever waits for a card cannot be answered by such tensors, and what lies on the CPU is told
apart: so is known, where there is no card, what `advance` may do within a capture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from asr.engines.whisper import runner
from asr.engines.whisper.batch import Row, RunningBatch
from asr.engines.whisper.capacity import plan
from asr.engines.whisper.model import forward
from asr.engines.whisper.model.alignment import Stretch, align, scores_of
from asr.engines.whisper.model.features import log_mel
from asr.engines.whisper.model.forward import encode
from asr.engines.whisper.model.transfer import HostCopy, sent
from asr.engines.whisper.model.weights import Weights
from asr.engines.whisper.runner import UNDETECTED, ModelRunner, Opening, advance, begin
from tests.support import models
from tests.support.pretended import CARD, Devices, moved, pretending
from tests.support.twins import Twins

SLOTS, STEPS = 6, 4
GIB = 2**30


@pytest.fixture(scope="module")
def unpacked() -> Twins:
    return Twins.of(models.TINY, keeps_whole=True)


def machine(twins: Twins, keeps_whole: bool) -> ModelRunner:
    parts = twins.checkpoint
    weights, rules = moved(parts.weights, torch.float16), moved(parts.rules, torch.float16)
    return ModelRunner.assemble(weights, rules, parts.vocabulary, SLOTS, keeps_whole)


OPENINGS = [
    Opening((50258, 50259, 50359), 0, is_timed=True, temperature=0.0, aligns=True),
    Opening((50361, 7, 8, 50258, UNDETECTED, 50359), 3, True, 0.4, 9, languages=(50259, 50261)),
]
KINDS = [(samples, aligns) for samples in (False, True) for aligns in (False, True)]


@pytest.mark.parametrize("keeps_whole", [False, True], ids=["keys and values", "whole"])
@pytest.mark.parametrize(("samples", "aligns"), KINDS)
def test_what_is_captured_neither_waits_for_the_card_nor_leaves_it(
    unpacked: Twins, keeps_whole: bool, samples: bool, aligns: bool
) -> None:
    with pretending():
        made = machine(unpacked, keeps_whole)
        with Devices() as devices:
            found = advance(made, 3, 16, STEPS, samples, aligns)
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
    write = forward.write

    def mistaken(*given: Any) -> torch.Tensor:
        hidden = write(*given)
        mistake(hidden)
        return hidden

    monkeypatch.setattr(runner.forward, "write", mistaken)
    with pytest.raises((AssertionError, RuntimeError)) as caught:
        test_what_is_captured_neither_waits_for_the_card_nor_leaves_it(
            unpacked, False, samples=False, aligns=False
        )
    assert "not linked" not in str(caught.value), "seen for want of a driver alone"


@pytest.mark.parametrize("keeps_whole", [False, True], ids=["keys and values", "whole"])
def test_rows_begin_on_the_card_and_nothing_waits_for_it(
    unpacked: Twins, keeps_whole: bool
) -> None:
    with pretending():
        made = machine(unpacked, keeps_whole)
        settings = moved(unpacked.checkpoint.log_mel, torch.float32)
        samples = torch.empty(2, settings.window_samples, device=CARD)
        features = log_mel(samples, settings).half()
        with Devices() as devices:
            encoded = encode(made.weights.encoder, features)
            made.slots.cross.hear(1, encoded)
            made.move(2, 0, 5)
        assert not devices.elsewhere
        found = begin(made, 1, OPENINGS)
    assert found.device == CARD
    assert found.shape == (4 + len(made.vocabulary.languages), 2)


class Copied:
    """Stands for torch.cuda.Event."""

    streams: Sequence[object] = ()

    def record(self, stream: object) -> None:
        Copied.streams = [*Copied.streams, stream]


@pytest.mark.parametrize("keeps_whole", [False, True], ids=["keys and values", "whole"])
def test_rows_are_flown_and_written_again_on_the_card_that_was_chosen(
    unpacked: Twins, monkeypatch: pytest.MonkeyPatch, keeps_whole: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "Event", Copied)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: device)
    monkeypatch.setattr(Copied, "streams", ())
    planned = replace(plan(unpacked.checkpoint.weights, GIB), lookahead=9)
    frames = unpacked.checkpoint.weights.encoder.positions.shape[0]
    with pretending():
        made = machine(unpacked, keeps_whole)
        flight = RunningBatch(made, planned)
        rows = [Row(opening, limit=9) for opening in OPENINGS]
        flight.board(rows, torch.empty(2, frames, 48, dtype=torch.float16, device=CARD))
        flight.launch()
        flight.release(rows[0])
        rows[0].tokens = [1, 2, 3]
        heard = flight.heard(rows[0], 20)
        assert (heard.queries.device, heard.keys.device) == (CARD, CARD)
        assert heard.keys.shape == (len(made.weights.decoder.aligning), 20, 16)
        firsts = np.zeros(3, np.int64)
        with Devices() as devices:
            scores = scores_of(heard, firsts, 9)
        with Devices() as sending:
            sent(firsts, CARD)
        assert devices.elsewhere == sending.elsewhere, "nothing comes back"
        assert (scores.device, scores.shape) == (CARD, (3, 9))
        on_their_way = align(heard, [Stretch([1, 2], 0.0, 0.4)]).scores
        assert on_their_way.values.shape == (3, 21)
        fresh = flight.again(rows[0], temperature=0.2, seed=1)
        flight.launch()
        assert flight.active == [fresh, rows[1]]
    assert list(Copied.streams) == [CARD] * 5


def test_where_no_memory_can_be_pinned_numbers_are_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any, **__: Any) -> torch.Tensor:
        raise torch.AcceleratorError("CUDA error: out of memory")

    with pretending():
        values = torch.empty(3, device=CARD)
        monkeypatch.setattr(torch, "empty", refuse)
        found = HostCopy.of(values)
    assert (found.arrived().device.type, found.copied) == ("cpu", None)


SIZES = {"large-v3": (32, 10, 3.09e9), "large-v3-turbo": (4, 6, 1.62e9), "distil": (2, 20, 1.51e9)}
SLOTS_THAT_FIT = [
    # model, GiB of the card, of these taken by others → slots, whether what is heard is kept whole
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
    unpacked: Twins, name: str, card: int, taken: float, slots: int, is_whole: bool
) -> None:
    layers, aligning, size = SIZES[name]
    with pretending():
        weights = published(layers, aligning, unpacked)
        planned = plan(weights, free=int((card - taken) * GIB - size))
    assert (planned.slots, planned.keeps_whole) == (slots, is_whole)
    assert planned.buckets[-1] == slots
