"""Who waits for the engine: live windows first, a window's place can be had by a newer one."""

import asyncio
import contextlib

import pytest

from asr.errors import EngineDead
from asr.transcription.admission.job_lane import JobLane
from asr.transcription.admission.waiting import WaitingRequests
from tests.conftest import eventually
from tests.support.fake_engine import FakeEngine
from tests.support.schedulers import decoded, window


class Narrow(FakeEngine):
    """An engine that has room for live windows alone."""

    def free(self, is_live=False):
        return int(is_live)


def order(engine):
    return [each for step in engine.steps for each in step]


async def test_a_live_window_goes_before_beginnings_later_words_and_jobs(make_scheduler):
    engine = FakeEngine(capacity=1)
    scheduler = make_scheduler(engine)
    engine.gate.clear()
    with contextlib.ExitStack() as stack:
        job = stack.enter_context(scheduler.admit(is_job=True))
        clips = [stack.enter_context(scheduler.admit()) for _ in range(2)]
        live = stack.enter_context(scheduler.admit(is_live=True))
        plug = clips[0].submit(window(40))
        await eventually(lambda: engine.steps)
        others = [job.submit(window()), clips[0].submit(window()), clips[1].submit(window())]
        spoken = live.submit(window())
        engine.gate.set()
        await asyncio.gather(*(each.result for each in [plug, *others, spoken]))
    assert order(engine)[1:] == [each.window for each in (spoken, *others[:0:-1], others[0])]


async def test_of_many_live_windows_every_fourth_turn_is_left_to_requests(make_scheduler):
    engine = FakeEngine(capacity=1)
    scheduler = make_scheduler(engine)
    engine.gate.clear()
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(scheduler.admit(is_live=True)) for _ in range(9)]
        clip, job = (stack.enter_context(scheduler.admit(is_job=is_job)) for is_job in (0, 1))
        plug = clip.submit(window())
        await eventually(lambda: engine.steps)
        spoken = [session.submit(window()) for session in sessions]
        others = [clip.submit(window()) for _ in range(3)]
        last = job.submit(window())
        engine.gate.set()
        await asyncio.gather(*(each.result for each in [plug, *spoken, *others, last]))
    taken = order(engine)[1:]
    assert taken[3::4] == [each.window for each in others]
    assert [one for one in taken if taken.index(one) % 4 != 3] == [
        each.window for each in [*spoken, last]
    ]


async def test_where_the_engine_has_room_for_live_windows_alone_only_they_enter(make_scheduler):
    engine = Narrow(capacity=1)
    scheduler = make_scheduler(engine)
    with scheduler.admit() as clip, scheduler.admit(is_live=True) as live:
        waiting = clip.submit(window())
        await asyncio.gather(*(live.submit(window()).result for _ in range(5)))
        assert not waiting.result.done()
    assert waiting.window not in order(engine)


async def test_a_newer_window_has_the_place_and_the_answers_of_one_that_waits(make_scheduler):
    engine = FakeEngine(capacity=1)
    scheduler = make_scheduler(engine)
    engine.gate.clear()
    with scheduler.admit() as clip, scheduler.admit(is_live=True) as live:
        plug = clip.submit(window())
        await eventually(lambda: engine.steps)
        first, second = live.submit(window(1)), live.submit(window(2))
        older, newer = first.window, window(3)
        assert live.replace(first, newer)
        assert first.window is newer
        engine.gate.set()
        result = await first.result
        await asyncio.gather(plug.result, second.result)
        assert not live.unfinished
    assert result.window is newer
    assert order(engine)[1:] == [newer, second.window]
    assert older not in order(engine)


async def test_a_window_that_waits_no_more_is_not_replaced(make_scheduler):
    engine = FakeEngine(capacity=1)
    scheduler = make_scheduler(engine)
    engine.gate.clear()
    with scheduler.admit(is_live=True) as live, scheduler.admit(is_live=True) as failing:
        inside = live.submit(window())
        await eventually(lambda: engine.steps)
        assert not live.replace(inside, window(2))
        failed = failing.submit(window())
        failing.fail(EngineDead("gone"))
        assert not failing.replace(failed, window(2))
        engine.gate.set()
        result = await inside.result
        assert result.window is inside.window
        assert not live.replace(inside, window(2))
    assert order(engine) == [inside.window]


async def test_a_session_that_leaves_takes_its_newest_window_with_it(make_scheduler):
    engine = FakeEngine(capacity=1)
    scheduler = make_scheduler(engine)
    engine.gate.clear()
    with scheduler.admit(is_live=True) as live:
        inside = live.submit(window())
        await eventually(lambda: engine.steps)
        waiting = live.submit(window())
        newer = window(2)
        assert live.replace(waiting, newer)
    engine.gate.set()
    await eventually(lambda: engine.dropped)
    assert engine.dropped == [inside.window]
    assert scheduler.is_idle
    assert order(engine) == [inside.window]


async def test_live_windows_take_no_room_from_requests_and_are_not_refused(make_scheduler):
    engine = FakeEngine(capacity=1)
    scheduler = make_scheduler(engine, max_queue_seconds=2.0)
    engine.gate.clear()
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(scheduler.admit(is_live=True)).submit(window(30))
        assert scheduler.queue_seconds == 0
        decoded(stack.enter_context(scheduler.admit()), 2.0)
        with pytest.raises(Exception, match="MAX_QUEUE_SECONDS=2"):
            scheduler.admit()
        scheduler.admit(is_live=True).__exit__(None, None, None)
        engine.gate.set()


async def test_work_for_live_windows_alone_says_nothing_of_when_there_is_room(make_scheduler):
    engine = FakeEngine(capacity=1)
    scheduler = make_scheduler(engine)
    with scheduler.admit(is_live=True) as live:
        await live.submit(window(30)).result
    assert scheduler.pace is None
    with scheduler.admit() as clip, scheduler.admit(is_live=True) as live:
        await clip.submit(window(1)).result
        assert scheduler.pace
        before = scheduler.pace
        await live.submit(window(30)).result
        assert scheduler.pace == before


async def test_after_the_engines_end_no_session_is_let_in(make_scheduler):
    scheduler = make_scheduler(FakeEngine())
    scheduler.end("it broke")
    with pytest.raises(EngineDead, match="it broke"):
        scheduler.admit(is_live=True)


def test_nobody_waits_at_first():
    waiting = WaitingRequests(JobLane(4, 0.25))
    assert not waiting
    assert list(waiting) == []
    assert waiting.take(4, 4, []) == []


async def test_a_session_that_is_ahead_of_time_goes_behind_beginnings(make_scheduler):
    engine = FakeEngine(capacity=1)
    scheduler = make_scheduler(engine)
    engine.gate.clear()
    with scheduler.admit() as clip, scheduler.admit(is_live=True) as live:
        plug = live.submit(window())
        await eventually(lambda: engine.steps)
        live.is_urgent = False
        hurried, begun = live.submit(window()), clip.submit(window())
        engine.gate.set()
        await asyncio.gather(*(each.result for each in (plug, hurried, begun)))
    assert order(engine)[1:] == [begun.window, hurried.window]
