"""Admission, fairness, cancellation, and an answer for everyone, whatever happens."""

import asyncio
import contextlib

import numpy as np
import pytest

from asr.errors import EngineDead, QueueFull, TranscriptionFailed
from asr.metrics import Metrics
from asr.scheduler import Scheduler
from asr.windows import Window, WindowResult
from tests.conftest import RATE, FakeEngine, heard


def window(seconds: float = 1.0) -> Window:
    return Window(np.zeros(round(seconds * RATE), np.float32), 0.0)


@pytest.fixture
async def make_scheduler():
    running = []

    def make(engine, max_queue_seconds=7200.0):
        scheduler = Scheduler(engine, max_queue_seconds, Metrics())
        scheduler.start()
        running.append((scheduler, engine))
        return scheduler

    yield make
    for scheduler, engine in running:
        engine.gate.set()
        await scheduler.stop()


async def until(claim):
    """Let the loop run until `claim` holds."""
    async with asyncio.timeout(10):
        while not claim():  # noqa: ASYNC110
            await asyncio.sleep(0.001)  # the claim is about another thread


async def test_windows_of_many_callers_share_one_step(make_scheduler):
    engine = FakeEngine(capacity=4)
    scheduler = make_scheduler(engine)
    engine.gate.clear()
    with scheduler.admit() as first, scheduler.admit() as second, scheduler.admit() as third:
        plug = first.submit(window())
        await until(lambda: engine.steps)
        pendings = [ticket.submit(window()) for ticket in (first, second, third)]
        engine.gate.set()
        await asyncio.gather(plug.result, *(pending.result for pending in pendings))
    assert [len(step) for step in engine.steps] == [1, 3]


async def test_only_the_first_window_of_a_request_leads_and_only_into_an_idle_engine(
    make_scheduler,
):
    engine = FakeEngine(capacity=1)
    scheduler = make_scheduler(engine)
    with scheduler.admit() as first, scheduler.admit() as second:
        engine.gate.clear()
        pendings = [first.submit(window()), second.submit(window())]
        engine.gate.set()
        await asyncio.gather(*(pending.result for pending in pendings))
        pendings.append(first.submit(window()))
        await pendings[-1].result
    assert [pending.leads for pending in pendings] == [True, False, False]


async def test_a_short_clip_does_not_wait_behind_a_long_file(make_scheduler):
    engine = FakeEngine(capacity=2)
    scheduler = make_scheduler(engine)
    engine.gate.clear()
    with scheduler.admit() as long, scheduler.admit() as short:
        files = [long.submit(window())]
        await until(lambda: engine.steps)
        files += [long.submit(window()) for _ in range(6)]
        clip = short.submit(window())
        engine.gate.set()
        await asyncio.gather(*(pending.result for pending in files), clip.result)
    order = [w for step in engine.steps for w in step]
    assert order.index(clip.window) == 2  # behind what was taken before it came, and one more


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


async def test_of_many_who_come_at_once_those_are_heard_that_fit_the_queue(make_scheduler):
    engine = FakeEngine()
    scheduler = make_scheduler(engine, max_queue_seconds=60)
    engine.gate.clear()
    heard_, refused = [], 0
    with contextlib.ExitStack() as all_:
        for ticket in [all_.enter_context(scheduler.admit()) for _ in range(10)]:
            try:
                heard_.append(ticket.submit(window(20)))
            except QueueFull:
                refused += 1
        assert (len(heard_), refused) == (3, 7)
        engine.gate.set()
        await asyncio.gather(*(pending.result for pending in heard_))


async def test_a_request_that_has_a_place_is_not_refused_any_more(make_scheduler):
    engine = FakeEngine()
    scheduler = make_scheduler(engine, max_queue_seconds=60)
    engine.gate.clear()
    with scheduler.admit() as first, scheduler.admit() as second:
        pendings = [first.submit(window(30)), second.submit(window(60)), first.submit(window(30))]
        engine.gate.set()
        await asyncio.gather(*(pending.result for pending in pendings))


async def test_a_request_counts_for_the_audio_that_is_decoded_and_not_heard(make_scheduler):
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
        async with asyncio.timeout(10):
            await waiting


async def test_who_leaves_is_dropped_from_queue_and_engine(make_scheduler):
    engine = FakeEngine(capacity=1)
    scheduler = make_scheduler(engine)
    engine.gate.clear()
    with scheduler.admit() as leaving:
        inside = leaving.submit(window())
        await until(lambda: engine.steps)
        queued = leaving.submit(window())
    engine.gate.set()
    with scheduler.admit() as staying:
        await staying.submit(window()).result
    await until(lambda: engine.dropped)
    assert engine.dropped == [inside.window]
    assert queued.window not in [w for step in engine.steps for w in step]
    assert scheduler.queue_seconds == 0


async def test_one_failing_window_fails_its_siblings_and_nobody_else(make_scheduler):
    bad = window()

    def hear(w):
        return WindowResult(w, error=ValueError("no")) if w is bad else heard(w)

    engine = FakeEngine(capacity=1, hear=hear)
    scheduler = make_scheduler(engine)
    engine.gate.clear()
    with scheduler.admit() as ticket, scheduler.admit() as other:
        failing, sibling = ticket.submit(bad), ticket.submit(window())
        fine = other.submit(window())
        engine.gate.set()
        with pytest.raises(TranscriptionFailed, match="ValueError"):
            await failing.result
        with pytest.raises(TranscriptionFailed):
            await sibling.result
        with pytest.raises(TranscriptionFailed):
            await ticket.submit(window()).result  # nor is anything more of it taken in
        assert (await fine.result).segments
    assert sibling.window not in [w for step in engine.steps for w in step]


async def test_the_language_is_known_before_the_text(make_scheduler):
    class Early(FakeEngine):
        def step(self, admitted):
            super().step(admitted)
            if admitted:
                self.inside = admitted[0]
                return [WindowResult(self.inside, language="es", is_final=False)]
            return [heard(self.inside)]

        def held(self):
            return 1

    engine = Early(capacity=1)
    scheduler = make_scheduler(engine)
    with scheduler.admit() as ticket:
        pending = ticket.submit(window())
        assert (await pending.detection).language == "es"
        assert (await pending.result).is_final


@pytest.mark.parametrize("failure", [RuntimeError("CUDA error: gone"), SystemExit(3)])
async def test_the_engines_end_is_told_to_everyone(make_scheduler, failure):
    class Dying(FakeEngine):
        def step(self, admitted):
            super().step(admitted)
            raise failure

    engine = Dying(capacity=1)
    scheduler = make_scheduler(engine)
    engine.gate.clear()
    with scheduler.admit() as first, scheduler.admit() as second:
        pendings = [first.submit(window()), first.submit(window()), second.submit(window())]
        engine.gate.set()
        for pending in pendings:
            with pytest.raises(EngineDead, match=type(failure).__name__):
                await pending.result
    assert scheduler.failure
    with pytest.raises(EngineDead):
        scheduler.admit()


async def test_an_engine_that_loses_a_window_is_dead_and_nobody_hangs(make_scheduler):
    class Losing(FakeEngine):
        def step(self, admitted):
            return super().step(admitted)[1:]

    engine = Losing()
    scheduler = make_scheduler(engine)
    with scheduler.admit() as ticket:
        pending = ticket.submit(window())
        async with asyncio.timeout(10):
            with pytest.raises(EngineDead, match="lost 1 windows"):
                await pending.result


async def test_stopping_answers_who_still_waits():
    engine = FakeEngine(capacity=1)
    scheduler = Scheduler(engine, 7200, Metrics())
    scheduler.start()
    engine.gate.clear()
    with scheduler.admit() as ticket:
        ticket.submit(window())
        await until(lambda: engine.steps)
        queued = ticket.submit(window())
        stopping = asyncio.create_task(scheduler.stop())
        await until(lambda: scheduler._stopping)
        engine.gate.set()
        await stopping
        with pytest.raises(EngineDead, match="shutting down"):
            await queued.result


async def test_every_window_is_heard_once_whatever_the_order_of_leaving(make_scheduler):
    engine = FakeEngine(capacity=3)
    scheduler = make_scheduler(engine)
    random = np.random.default_rng(0)

    async def caller(number):
        with scheduler.admit() as ticket:
            pendings = [ticket.submit(window()) for _ in range(int(random.integers(1, 6)))]
            if number % 3 == 0:
                return []
            await asyncio.gather(*(pending.result for pending in pendings))
            return [pending.window for pending in pendings]

    answered = await asyncio.gather(*(caller(number) for number in range(100)))
    stepped = [w for step in engine.steps for w in step]
    assert len(set(stepped)) == len(stepped)
    assert {w for windows in answered for w in windows} <= set(stepped)
    assert scheduler.queue_seconds == 0


async def test_idle_moments_are_for_preparing_until_nothing_is_left_but_what_work_brings(
    make_scheduler,
):
    class Preparing(FakeEngine):
        left = 3

        def prepare(self):
            self.left -= 1
            return self.left > 0

    engine = Preparing(capacity=1)
    scheduler = make_scheduler(engine)
    await until(lambda: engine.left == 0)
    for rounds in (1, 2):
        with scheduler.admit() as ticket:
            assert (await ticket.submit(window()).result).segments
        await until(lambda most=-rounds: engine.left <= most)
        assert engine.left == -rounds  # asked once


async def test_work_comes_between_two_pieces_of_preparing(make_scheduler):
    class Busy(FakeEngine):
        prepared = 0

        def prepare(self):
            self.prepared += 1
            return True

    engine = Busy(capacity=1)
    scheduler = make_scheduler(engine)
    await until(lambda: engine.prepared > 1)
    with scheduler.admit() as ticket:
        assert (await ticket.submit(window()).result).segments
