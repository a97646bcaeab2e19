"""Admission: whom a queue of so many seconds takes in, and what each of them counts for in it."""

import asyncio
import contextlib

import pytest

from asr.errors import EngineDead, QueueFull
from asr.transcription.scheduled_request import UNREAD
from tests.conftest import PATIENCE_SECONDS, RATE, eventually
from tests.support.fake_engine import FakeEngine
from tests.support.schedulers import decoded, window

BLOCK = 10 * RATE
WORKING_SET = 40 * RATE


def begin_long(request):
    """Decode so much of a long recording that its first window is complete."""
    request.hold(WORKING_SET)
    request.lengthen(WORKING_SET)


async def test_a_full_queue_is_refused_with_a_time_to_wait(make_scheduler):
    engine = FakeEngine()
    scheduler = make_scheduler(engine, max_queue_seconds=60)
    engine.gate.clear()
    with scheduler.admit() as first, scheduler.admit() as second:
        for ticket in (first, second):
            decoded(ticket, 30)
        with pytest.raises(QueueFull, match="60 s of audio are waiting") as refused:
            scheduler.admit()
        assert 0 < refused.value.retry_after < 10
        with pytest.raises(QueueFull, match="60 s of audio are waiting"):
            scheduler.expect().__enter__()
    with scheduler.expect():
        pass
    scheduler.admit().__exit__(None, None, None)


async def test_uploads_that_have_brought_nothing_yet_hardly_count(make_scheduler):
    scheduler = make_scheduler(FakeEngine(), max_queue_seconds=60)
    with contextlib.ExitStack() as idle:
        for _ in range(29):
            idle.enter_context(scheduler.admit())
        with scheduler.admit() as busy:
            assert (await decoded(busy, 30).result).segments
        for _ in range(31):
            idle.enter_context(scheduler.admit())
        with pytest.raises(QueueFull, match="60 s"):  # yet they are not without number
            scheduler.admit()


async def test_of_many_who_come_at_once_those_are_transcribed_that_fit_the_queue(make_scheduler):
    engine = FakeEngine()
    scheduler = make_scheduler(engine, max_queue_seconds=60)
    engine.gate.clear()
    taken, refused = [], 0
    with contextlib.ExitStack() as all_:
        for _ in range(10):
            try:
                taken.append(decoded(all_.enter_context(scheduler.admit()), 20))
            except QueueFull:
                refused += 1
        assert (len(taken), refused) == (3, 7)
        assert scheduler.queue_seconds == 60
        engine.gate.set()
        await asyncio.gather(*(pending.result for pending in taken))


async def test_a_request_whose_audio_does_not_fit_any_more_is_refused_before_it_is_transcribed(
    make_scheduler,
):
    engine = FakeEngine()
    scheduler = make_scheduler(engine, max_queue_seconds=60)
    with scheduler.admit() as first, scheduler.admit() as second:
        first.hold(45 * RATE)
        second.hold(15 * RATE)
        with pytest.raises(QueueFull, match="60 s"):
            second.hold(16 * RATE)
    assert engine.steps == []
    assert scheduler.queue_seconds == 0


async def test_long_requests_leave_room_for_short_ones(make_scheduler):
    scheduler = make_scheduler(FakeEngine(), max_queue_seconds=120)
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            begin_long(stack.enter_context(scheduler.admit()))
        third = stack.enter_context(scheduler.admit())
        third.hold(30 * RATE)
        with pytest.raises(QueueFull) as refused:  # it turns out to be long, too
            third.lengthen(WORKING_SET)
        assert refused.value.retry_after >= 30  # the others may last for hours
        third.__exit__(None, None, None)
        with scheduler.admit() as clip:
            assert (await decoded(clip, 30).result).segments


async def test_a_request_counts_for_the_audio_whose_text_nobody_has_taken(make_scheduler):
    engine = FakeEngine()
    scheduler = make_scheduler(engine)
    engine.gate.clear()
    with scheduler.admit() as ticket:
        assert scheduler.queue_seconds == 1
        ticket.hold(25 * RATE)
        assert scheduler.queue_seconds == 25
        whole = window(23)
        ticket.cut(whole, uncut=2 * RATE)
        assert scheduler.queue_seconds == 25
        pending = ticket.submit(whole)
        ticket.complete()
        assert scheduler.queue_seconds == 23
        engine.gate.set()
        result = await pending.result
        assert scheduler.queue_seconds == 23
        ticket.take(result)
        assert scheduler.queue_seconds == 0


async def test_a_long_request_goes_ahead_no_further_than_its_share_of_the_engine(make_scheduler):
    engine = FakeEngine(capacity=4)
    scheduler = make_scheduler(engine)
    engine.gate.clear()
    with contextlib.ExitStack() as stack:
        long = [stack.enter_context(scheduler.admit()) for _ in range(3)]
        for request in long:
            begin_long(request)
        request = long[0]
        request.hold(0)
        pendings = []
        for _ in range(scheduler.windows_ahead()):
            await request.room(BLOCK)
            pendings.append(decoded(request, 30))
        assert len(pendings) == 3  # two engines' windows, shared by three
        waiting = asyncio.create_task(request.room(BLOCK))
        await asyncio.sleep(0)
        assert not waiting.done()
        long[1].__exit__(None, None, None)
        assert scheduler.windows_ahead() == 4
        engine.gate.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await waiting


async def test_results_that_nobody_takes_hold_up_their_own_request_alone(make_scheduler):
    engine = FakeEngine(capacity=1)
    scheduler = make_scheduler(engine)
    with scheduler.admit() as unread, scheduler.admit() as other:
        for request in (unread, other):
            begin_long(request)
            request.hold(0)
        pendings = []
        for _ in range(UNREAD * scheduler.windows_ahead()):
            await unread.room(BLOCK)
            pendings.append(decoded(unread, 30))
            await pendings[-1].result
        waiting = asyncio.create_task(unread.room(BLOCK))
        await other.room(BLOCK)
        assert (await decoded(other, 30).result).segments
        assert not waiting.done()
        unread.take(await pendings[0].result)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await waiting


async def test_a_request_that_fails_while_it_waits_for_room_decodes_no_more(make_scheduler):
    engine = FakeEngine(capacity=1)
    scheduler = make_scheduler(engine)
    engine.gate.clear()
    with scheduler.admit() as request:
        begin_long(request)
        request.hold(0)
        for _ in range(scheduler.windows_ahead()):
            decoded(request, 30)
        waiting = asyncio.create_task(request.room(BLOCK))
        await eventually(lambda: engine.steps)
        assert not waiting.done()
        scheduler.end("it is over")
        with pytest.raises(EngineDead, match="it is over"):
            await waiting
