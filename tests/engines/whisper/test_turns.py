"""Whose turn it is: who is encoded first, who waits, and what a place is once it is free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from asr.engines.engine import Window
from asr.engines.whisper import engine as engines
from asr.engines.whisper.model.forward import encode
from asr.options import Options
from tests.support.models import OPTIONS, Caller, noise, recording, windows, written
from tests.support.twins import Twins

pytestmark = pytest.mark.both_forms


STREAMED = [replace(OPTIONS[0], is_streamed=True)]


def test_a_dropped_window_frees_its_place_wherever_it_is(tiny: Twins) -> None:
    engine = recording(tiny.checkpoint, slots=3, encoder_batch=1, few_rows=1, encoder_spacing=99)
    first, second, stranger = windows(3)
    engine.step([first])
    engine.step([second])  # waits: the encoder is kept off
    assert engine.held() == 2
    assert engine.free() == 0
    for window in (stranger, second, first, first):
        engine.drop(window)
    assert engine.held() == 0
    assert engine.free() == 1
    assert engine.step([]) == []


def test_a_clip_is_heard_at_once_though_a_file_has_more_windows_to_encode(endless: Twins) -> None:
    engine = recording(endless.checkpoint, slots=8, encoder_batch=1, few_rows=4, encoder_spacing=4)
    caller, file = Caller(engine), windows(30, OPTIONS[:1])
    for _ in range(3):
        caller.step([file.pop()])
    clip = Window(noise(99, 0.5), 0.0)
    caller.step([clip])
    assert clip in caller.languages
    before = {row: len(row.tokens) for row in engine._windows}
    caller.step([file.pop()])
    assert all(len(row.tokens) > before[row] for row in before if not row.is_done)


@pytest.mark.parametrize(("asked", "behind"), [(STREAMED, 19), (OPTIONS[:1], 1)])
def test_a_streams_first_window_is_written_before_the_next_is_encoded(
    endless: Twins, monkeypatch: pytest.MonkeyPatch, asked: Sequence[Options], behind: int
) -> None:
    encoded: list[int] = []
    monkeypatch.setattr(engines, "encode", lambda *given: encoded.append(1) or encode(*given))
    engine = recording(endless.checkpoint, limit=30, encoder_batch=1, launches=1, head_start=20)
    for _ in range(2):  # idle again after the first round
        first, second = windows(2, asked)
        encoded.clear()
        engine.step([first])
        for admitted in ([second], *[[]] * (behind - 1)):
            assert len(encoded) == 1
            engine.step(admitted)
        assert len(encoded) == 1 + (behind == 1)
        engine.step([])
        assert len(encoded) == 2
        Caller(engine).run([])
        assert {first, second} <= set(engine.rows)


def test_only_the_first_window_of_a_file_has_a_head_start(endless: Twins) -> None:
    """The others are in flight together, also where their head start is longer than they are."""
    engine = recording(endless.checkpoint, limit=10, encoder_batch=1, launches=1, head_start=40)
    asked = windows(6, STREAMED)
    together = 0
    for _ in range(200):
        admitted = [asked.pop(0)] if asked and engine.free() else []
        engine.step(admitted)
        together = max(together, len(engine._windows))
        if not asked and not engine.held():
            break
    assert together >= 3


def test_an_idle_engine_does_nothing(tiny: Twins) -> None:
    engine = recording(tiny.checkpoint)
    assert engine.step([]) == []
    assert (engine.held(), engine.free(), engine.capacity) == (0, 2, 4)


def test_warming_up_leaves_nothing_behind(tiny: Twins) -> None:
    engine = recording(tiny.checkpoint, slots=3)
    engine.warm_up()
    assert engine.held() == 0
    asked = windows(5)
    assert written(engine, asked) == written(recording(tiny.checkpoint), asked)
