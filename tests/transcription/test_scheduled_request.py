"""Admission: whom a queue of so many seconds takes in, and what each of them counts for in it."""

import asyncio
import contextlib

import pytest

from asr.errors import QueueFull
from tests.conftest import PATIENCE_SECONDS
from tests.support.fake_engine import FakeEngine
from tests.support.schedulers import window


async def test_a_full_queue_is_refused_with_a_time_to_wait(make_scheduler):
    engine = FakeEngine()
    scheduler = make_scheduler(engine, max_queue_seconds=60)
    engine.gate.clear()
    with scheduler.admit() as first, scheduler.admit() as second:
        for ticket in (first, second):
            ticket.submit(window(30))
        with pytest.raises(QueueFull, match="60 s of audio are waiting") as refused:
            scheduler.admit()
        assert refused.value.retry_after >= 1
        with pytest.raises(QueueFull, match="60 s of audio are waiting"):
            scheduler.check_room()
    scheduler.check_room()
    scheduler.admit().__exit__(None, None, None)


async def test_uploads_that_have_brought_nothing_yet_keep_nobody_out(make_scheduler):
    scheduler = make_scheduler(FakeEngine(), max_queue_seconds=60)
    with contextlib.ExitStack() as idle:
        for _ in range(59):
            idle.enter_context(scheduler.admit())
        with scheduler.admit() as busy:
            assert (await busy.submit(window(30)).result).segments
        idle.enter_context(scheduler.admit())
        with pytest.raises(QueueFull, match="60 s"):  # yet they are not without number
            scheduler.admit()


async def test_of_many_who_come_at_once_those_are_transcribed_that_fit_the_queue(make_scheduler):
    engine = FakeEngine()
    scheduler = make_scheduler(engine, max_queue_seconds=60)
    engine.gate.clear()
    taken, refused = [], 0
    with contextlib.ExitStack() as all_:
        for ticket in [all_.enter_context(scheduler.admit()) for _ in range(10)]:
            try:
                taken.append(ticket.submit(window(20)))
            except QueueFull:
                refused += 1
        assert (len(taken), refused) == (3, 7)
        engine.gate.set()
        await asyncio.gather(*(pending.result for pending in taken))


async def test_a_request_that_has_a_place_is_not_refused_any_more(make_scheduler):
    engine = FakeEngine()
    scheduler = make_scheduler(engine, max_queue_seconds=60)
    engine.gate.clear()
    with scheduler.admit() as first, scheduler.admit() as second:
        pendings = [first.submit(window(30)), second.submit(window(60)), first.submit(window(30))]
        engine.gate.set()
        await asyncio.gather(*(pending.result for pending in pendings))


async def test_a_request_counts_for_the_audio_that_is_decoded_and_not_transcribed(make_scheduler):
    engine = FakeEngine()
    scheduler = make_scheduler(engine)
    engine.gate.clear()
    with scheduler.admit() as ticket:
        assert scheduler.queue_seconds == 1
        ticket.hold(25)
        assert scheduler.queue_seconds == 25
        ticket.hold(2)
        pending = ticket.submit(window(5))
        assert scheduler.queue_seconds == 7
        ticket.complete()
        assert scheduler.queue_seconds == 5
        engine.gate.set()
        await pending.result
        assert scheduler.queue_seconds == 0


async def test_a_request_may_not_flood_the_queue(make_scheduler):
    engine = FakeEngine(capacity=1)
    scheduler = make_scheduler(engine)
    engine.gate.clear()
    with scheduler.admit() as ticket:
        for _ in range(scheduler.windows_per_request):
            await ticket.room()
            ticket.submit(window())
        waiting = asyncio.create_task(ticket.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        engine.gate.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await waiting
