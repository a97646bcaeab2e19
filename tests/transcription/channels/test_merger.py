"""Segments of several channels come in the order of time, as soon as it is certain."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asr.transcript import Segment
from asr.transcription.channels.merger import Merger


def said(start: float, channel: int) -> Segment:
    return Segment(start, start + 1.0, f" {start:g}", channel=channel)


def test_a_segment_waits_for_those_that_another_channel_may_still_have() -> None:
    merger = Merger()
    assert merger.push([said(0.0, 0), said(5.0, 0)], until=0.0) == ()
    assert merger.push([said(3.0, 1)], until=4.0) == (said(0.0, 0), said(3.0, 1))
    assert merger.push([], until=5.0) == ()
    assert merger.push([], until=5.5) == (said(5.0, 0),)


def test_of_two_that_begin_together_the_first_channel_is_first() -> None:
    merger = Merger()
    merger.push([said(1.0, 1)], until=0.0)
    assert merger.push([said(1.0, 0)], until=2.0) == (said(1.0, 0), said(1.0, 1))


@given(st.lists(st.lists(st.integers(0, 50), max_size=5), max_size=8))
def test_nothing_is_lost_nothing_comes_twice_and_all_is_in_order(lots: list[list[int]]) -> None:
    merger, given_out = Merger(), list[Segment]()
    for number, starts in enumerate(lots):
        later = [said(float(10 * number + start), number % 3) for start in sorted(starts)]
        given_out += merger.push(later, until=10.0 * number)
    given_out += merger.push([], until=1e9)
    everything = [10.0 * number + start for number, starts in enumerate(lots) for start in starts]
    assert [segment.start for segment in given_out] == sorted(everything)
