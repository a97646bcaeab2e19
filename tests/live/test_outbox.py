"""Events wait for their reader, and those who make them wait while there are too many."""

import asyncio

import pytest

from asr.live.events import Cleared, Delta, Hypothesis
from asr.live.outbox import MOST_EVENTS, Outbox


async def test_events_come_in_order_and_end_behind_the_last():
    outbox = Outbox()
    outbox.put(Cleared())
    outbox.put(Delta("a", " one"))
    outbox.end()
    assert [event async for event in outbox.events()] == [Cleared(), Delta("a", " one")]


async def test_a_newer_hypothesis_takes_the_place_of_one_that_nobody_has_read():
    outbox = Outbox()
    for text in ("one", "one two"):
        outbox.put(Hypothesis("a", text))
    outbox.put(Hypothesis("b", "three"))
    outbox.end()
    told = [event async for event in outbox.events()]
    assert told == [Hypothesis("a", "one two"), Hypothesis("b", "three")]


async def test_who_makes_events_waits_until_there_is_room():
    outbox = Outbox()
    for _ in range(MOST_EVENTS):
        outbox.put(Cleared())
    waiting = asyncio.ensure_future(outbox.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await anext(outbox.events()) == Cleared()
    await waiting


async def test_a_failure_is_raised_behind_the_events_before_it():
    outbox = Outbox()
    outbox.put(Cleared())
    outbox.end(RuntimeError("a fault of ours"))
    events = outbox.events()
    assert await anext(events) == Cleared()
    with pytest.raises(RuntimeError, match="a fault of ours"):
        await anext(events)
