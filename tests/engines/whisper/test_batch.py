"""Slots are found, and gaps closed, whatever is taken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asr.engines.whisper.batch import RunningBatch, gap, moves
from asr.engines.whisper.capacity import plan
from asr.engines.whisper.runner import ModelRunner, Opening
from asr.engines.whisper.sequence import Sequence
from asr.options import Options
from tests.support.models import POSITIONS, recording, windows, written
from tests.support.twins import Twins

TAKEN = st.lists(st.booleans(), min_size=1, max_size=20)


def rows(taken: list[bool]) -> list[Sequence | None]:
    opening = Opening((1,), 0, is_timed=True, temperature=0.0)
    [window] = windows(1)
    return [Sequence(window, opening, limit=1) if is_taken else None for is_taken in taken]


@given(TAKEN, st.integers(1, 20))
def test_a_gap_is_the_lowest_that_is_wide_enough(taken: list[bool], count: int) -> None:
    wide = [
        start for start in range(len(taken) - count + 1) if not any(taken[start : start + count])
    ]
    assert gap(rows(taken), count) == (wide[0] if wide else None)


@given(TAKEN)
def test_moves_leave_no_gap_and_move_no_more_than_needed(taken: list[bool]) -> None:
    slots = rows(taken)
    before = {row for row in slots if row is not None}
    steps = moves(slots)
    for source, target in steps:
        assert slots[source] is not None
        assert slots[target] is None
        slots[source], slots[target] = None, slots[source]
    assert {row for row in slots[: len(before)] if row is not None} == before
    assert len(steps) == sum(not is_taken for is_taken in taken[: len(before)])


def test_where_nothing_is_captured_nothing_is_prepared(tiny: Twins) -> None:
    parts = tiny.checkpoint
    machine = ModelRunner.assemble(parts.weights, parts.rules, parts.vocabulary, 4)
    assert not RunningBatch(machine, plan(parts.weights)).prepare()


def test_a_windows_own_limit_of_tokens_is_its_alone(endless: Twins) -> None:
    limits = [3, None, 1, 1000, 7]
    asked = windows(5, [Options("en", max_new_tokens=limit) for limit in limits])
    most = POSITIONS - 3  # behind the opening
    found = written(recording(endless.checkpoint), asked)
    assert [len(tokens) for tokens in found] == [3, most, 1, most, 7]
    limited = written(recording(endless.checkpoint, limit=5), asked)
    assert [len(tokens) for tokens in limited] == [3, 5, 1, 5, 5]
    assert all(a[:3] == b[:3] for a, b in zip(found, limited, strict=True))
