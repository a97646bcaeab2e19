"""Launches are captured once for each shape, and write what plain ones do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from asr.engines.whisper import cuda_graphs, runner
from asr.engines.whisper.cuda_graphs import UNCAPTURED_LAUNCHES
from asr.engines.whisper.engine import WhisperEngine
from asr.engines.whisper.model.cross_attention import EncoderOutput, KeysAndValues
from asr.engines.whisper.model.kv_cache import KVCache
from asr.engines.whisper.runner import DecodeShape
from asr.options import Options, Thresholds
from tests.support import models
from tests.support.card import Card, Graph
from tests.support.models import POSITIONS, recording, windows, written
from tests.support.twins import Twins

KINDS = [
    Options(language="en"),
    Options(language="en", temperature=0.8, seed=3),
    Options(language="de", timestamps="word"),
    Options(thresholds=Thresholds(avg_logprob=0.0, compression_ratio=2.4)),
]
PLAN: dict[str, Any] = {
    "slots": 6,
    "encoder_batch": 2,
    "steps": 4,
    "launches": 1,
    "lookahead": 1,
    "few_rows": 6,
    "buckets": (1, 2, 6),
    "lengths": (16, POSITIONS),
}
PLAIN = [  # in the order in which they are captured
    DecodeShape(rows, length, False, False)
    for rows, length in [(6, POSITIONS), (1, POSITIONS), (1, 16), (6, 16), (2, POSITIONS), (2, 16)]
]
SAMPLED = [shape._replace(samples=True) for shape in PLAIN]


@pytest.fixture(autouse=True)
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[Card]:
    return Card.stand_in(monkeypatch)


def captures(engine: WhisperEngine) -> dict[DecodeShape, cuda_graphs.Captured]:
    found = engine._batch._graphs
    assert found is not None
    return found._captured


@pytest.mark.parametrize("kept", ["keys and values", "whole"])
def test_replayed_launches_write_what_plain_ones_do(card: Card, kept: str) -> None:
    twins = Twins.of(models.TINY, keeps_encoder_output=kept == "whole")
    asked = windows(8, KINDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("asr.engines.whisper.batch._is_gpu", lambda _: False)
        expected = written(recording(twins.checkpoint), asked)
    engine = recording(twins.checkpoint, **PLAN)
    engine.warm_up()
    while engine.prepare():
        pass
    assert written(engine, asked) == expected
    assert sum(graph.replays > 0 for graph in card.graphs) > 3
    assert written(engine, asked) == expected, "a replay has spoilt what another one reads"


def test_a_capture_while_rows_are_in_flight_leaves_them_where_they_are(
    tiny: Twins, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_graphs, "UNCAPTURED_LAUNCHES", 1)
    asked = windows(8, KINDS)
    engine = recording(tiny.checkpoint, **PLAN)
    found = written(engine, asked)
    assert len(card.graphs) > 3
    with monkeypatch.context() as patch:
        patch.setattr("asr.engines.whisper.batch._is_gpu", lambda _: False)
        assert found == written(recording(tiny.checkpoint), asked)


def test_nothing_is_captured_by_the_thread_that_loads_but_by_the_one_that_replays(
    tiny: Twins,
) -> None:
    engine = recording(tiny.checkpoint, **PLAN)
    engine.warm_up()
    assert not captures(engine)


def test_idle_moments_are_for_what_texts_and_second_attempts_launch(
    tiny: Twins, card: Card
) -> None:
    engine = recording(tiny.checkpoint, **PLAN)
    rounds = 1
    while engine.prepare():
        rounds += 1
    assert list(captures(engine)) == [*PLAIN, *SAMPLED]
    assert rounds == len(PLAIN) + len(SAMPLED)
    assert not engine.prepare()
    assert len({id(stream) for stream in [*card.captured_on, *card.ran_on]}) == 1
    assert len(card.pools) == 1


def test_timed_words_are_prepared_for_once_somebody_wants_them(tiny: Twins) -> None:
    engine = recording(tiny.checkpoint, **PLAN)
    while engine.prepare():
        pass
    written(engine, windows(1, KINDS[2:3]))
    while engine.prepare():
        pass
    assert set(captures(engine)) - {*PLAIN, *SAMPLED} == {
        shape._replace(aligns=True) for shape in PLAIN
    }


def test_memory_that_others_may_need_is_left_alone(tiny: Twins, card: Card) -> None:
    card.free = cuda_graphs.FREE_BYTES - 1
    engine = recording(tiny.checkpoint, **PLAN)
    assert not engine.prepare()
    assert not captures(engine)


def test_nobody_waits_for_a_capture_until_its_shape_has_come_often(
    endless: Twins, card: Card
) -> None:
    engine = recording(endless.checkpoint, **{**PLAN, "lengths": (POSITIONS,)})
    for _ in range(UNCAPTURED_LAUNCHES):
        engine.step(windows(1, KINDS[:1]) if not engine.held() else [])
    assert not card.graphs
    engine.step([])
    assert list(captures(engine)) == [DecodeShape(1, POSITIONS, False, False)]
    [graph] = card.graphs
    assert graph.replays == 1


def test_a_capture_that_fails_is_reported_once_and_none_is_tried_again(
    tiny: Twins, card: Card, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cuda_graphs, "UNCAPTURED_LAUNCHES", 1)
    asked = windows(8, KINDS)
    engine = recording(tiny.checkpoint, **PLAN)
    for _ in range(3):
        assert engine.prepare()
    card.is_broken = True
    assert not engine.prepare()
    assert card.current is card.main, "what follows would run on the stream of the capture"
    assert not engine.prepare()
    with monkeypatch.context() as patch:
        patch.setattr("asr.engines.whisper.batch._is_gpu", lambda _: False)
        expected = written(recording(tiny.checkpoint), asked)
    assert written(engine, asked) == expected
    written(engine, windows(1, KINDS[:1]))
    assert len(card.graphs) == 4
    assert sum(graph.replays for graph in card.graphs[:3]) > 0, "what was captured still counts"
    [message] = [record.getMessage() for record in caplog.records]
    assert "cannot be captured" in message
    assert "spoilt the capture" in caplog.text


def test_a_capture_that_fails_because_the_card_is_lost_ends_the_engine(
    tiny: Twins, card: Card
) -> None:
    engine = recording(tiny.checkpoint, **PLAN)
    card.is_broken = card.is_lost = True
    with pytest.raises(torch.AcceleratorError, match="illegal memory access"):
        engine.prepare()


def refuse(graph: Graph) -> None:
    graph.replays += 1
    raise torch.AcceleratorError("CUDA error: out of memory")


def test_a_graph_that_cannot_be_replayed_is_done_without(
    tiny: Twins, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = windows(8, KINDS)
    engine = recording(tiny.checkpoint, **PLAN)
    while engine.prepare():
        pass
    expected = written(engine, asked)
    for graph in card.graphs:
        graph.replays = 0
    monkeypatch.setattr(Graph, "replay", refuse)
    assert written(engine, asked) == expected
    assert {graph.replays for graph in card.graphs} == {0, 1}, "one refusal is enough"


def test_a_graph_that_cannot_be_replayed_ends_the_engine_where_the_card_is_lost(
    tiny: Twins, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = recording(tiny.checkpoint, **PLAN)
    while engine.prepare():
        pass
    monkeypatch.setattr(Graph, "replay", refuse)
    card.is_lost = True
    with pytest.raises(torch.AcceleratorError, match="illegal memory access"):
        written(engine, windows(6, KINDS[:1]))


def test_what_there_is_no_memory_to_capture_runs_uncaptured_and_is_not_let_go_of(
    tiny: Twins, card: Card
) -> None:
    asked = windows(8, KINDS)
    engine = recording(tiny.checkpoint, **PLAN)
    while engine.prepare():
        pass
    expected = written(engine, asked)
    card.is_full = lambda: len(card.graphs) % 2 == 0
    engine = recording(tiny.checkpoint, **PLAN)
    before = len(card.graphs)
    while engine.prepare():
        pass
    kept = captures(engine).values()
    assert written(engine, asked) == expected
    assert {captured.decoded is None for captured in kept} == {True, False}
    assert {id(graph) for graph in card.graphs[before:]} == {
        id(captured.graph) for captured in captures(engine).values()
    }


def test_a_launch_that_runs_out_of_memory_half_way_is_not_half_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The encoder's output is kept then: that frees more than half of the slots would."""
    loaded, asked = (
        Twins.of(models.TINY, keeps_encoder_output=True).checkpoint,
        windows(12, KINDS[:1]),
    )
    planned = {**PLAN, "keeps_encoder_output": False, "buckets": (1, 2, 3, 6)}
    expected = written(recording(loaded, **planned), asked)
    decode, calls = runner.forward.decode, 0

    def limited(weights: Any, cache: KVCache, tokens: torch.Tensor, *rest: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if len(tokens) > 3 and isinstance(cache.cross, KeysAndValues) and calls % 4 == 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(weights, cache, tokens, *rest)

    monkeypatch.setattr(runner.forward, "decode", limited)
    engine = recording(loaded, **planned)
    assert written(engine, asked) == expected
    assert engine.capacity == PLAN["slots"]
    assert isinstance(engine._batch._runner.cache.cross, EncoderOutput)
