"""Fairness, cancellation, and an answer for everyone, whatever happens."""

import asyncio
import contextlib

import numpy as np
import pytest

from asr.engines.engine import WindowResult
from asr.errors import EngineDead, QueueFull, TranscriptionFailed
from asr.metrics import Metrics
from asr.transcription.scheduler import Scheduler
from tests.conftest import PATIENCE_SECONDS, eventually
from tests.support.fake_engine import FakeEngine, transcribed
from tests.support.schedulers import decoded, window


async def test_windows_of_many_callers_share_one_step(make_scheduler):
    engine = FakeEngine(capacity=4)
    scheduler = make_scheduler(engine)
    engine.gate.clear()
    with scheduler.admit() as first, scheduler.admit() as second, scheduler.admit() as third:
        plug = first.submit(window())
        await eventually(lambda: engine.steps)
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
        await eventually(lambda: engine.steps)
        files += [long.submit(window()) for _ in range(6)]
        clip = short.submit(window())
        engine.gate.set()
        await asyncio.gather(*(pending.result for pending in files), clip.result)
    order = [w for step in engine.steps for w in step]
    assert order.index(clip.window) == 2  # behind what was taken before it came, and one more


async def test_the_beginning_of_a_request_goes_before_what_is_later_in_ten_others(make_scheduler):
    engine = FakeEngine(capacity=1)
    scheduler = make_scheduler(engine)
    with contextlib.ExitStack() as stack:
        *long, clip = [stack.enter_context(scheduler.admit()) for _ in range(11)]
        await asyncio.gather(*(request.submit(window(30)).result for request in long))
        engine.gate.clear()
        later = [request.submit(window(30)) for request in long]
        await eventually(lambda: len(engine.steps) == 11)  # one of them is inside
        beginning = clip.submit(window(3))
        engine.gate.set()
        await asyncio.gather(*(pending.result for pending in later), beginning.result)
    assert engine.steps[11] == [beginning.window]


async def test_who_leaves_is_dropped_from_queue_and_engine(make_scheduler):
    engine = FakeEngine(capacity=1)
    scheduler = make_scheduler(engine)
    engine.gate.clear()
    with scheduler.admit() as leaving:
        inside = leaving.submit(window())
        await eventually(lambda: engine.steps)
        queued = leaving.submit(window())
    engine.gate.set()
    with scheduler.admit() as staying:
        await staying.submit(window()).result
    await eventually(lambda: engine.dropped)
    assert engine.dropped == [inside.window]
    assert queued.window not in [w for step in engine.steps for w in step]
    assert scheduler.queue_seconds == 0


async def test_one_failing_window_fails_its_siblings_and_nobody_else(make_scheduler):
    bad = window()

    def decode(w):
        return WindowResult(w, error=ValueError("no")) if w is bad else transcribed(w)

    engine = FakeEngine(capacity=1, transcribe=decode)
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
            return [transcribed(self.inside)]

        def held(self):
            return 1

    engine = Early(capacity=1)
    scheduler = make_scheduler(engine)
    with scheduler.admit() as ticket:
        pending = ticket.submit(window())
        assert (await pending.detection).language == "es"
        assert (await pending.result).is_final


@pytest.mark.parametrize("failure", [RuntimeError("CUDA error: gone"), SystemExit(3)])
async def test_the_engines_end_is_reported_to_everyone(make_scheduler, failure):
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
    for ask in (scheduler.admit, scheduler.expect().__enter__):
        with pytest.raises(EngineDead):
            ask()


async def test_an_engine_that_loses_a_window_is_dead_and_nobody_hangs(make_scheduler):
    class Losing(FakeEngine):
        def step(self, admitted):
            return super().step(admitted)[1:]

    engine = Losing()
    scheduler = make_scheduler(engine)
    with scheduler.admit() as ticket:
        pending = ticket.submit(window())
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(EngineDead, match="gave no result for 1 windows"):
                await pending.result


async def test_stopping_answers_who_still_waits():
    engine = FakeEngine(capacity=1)
    scheduler = Scheduler(engine, 7200, Metrics())
    scheduler.start()
    engine.gate.clear()
    with scheduler.admit() as ticket:
        ticket.submit(window())
        await eventually(lambda: engine.steps)
        queued = ticket.submit(window())
        stopping = asyncio.create_task(scheduler.stop())
        await eventually(lambda: scheduler._stopping)
        engine.gate.set()
        await stopping
        with pytest.raises(EngineDead, match="shutting down"):
            await queued.result


async def test_every_window_is_transcribed_once_whatever_the_order_of_leaving(make_scheduler):
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
    await eventually(lambda: engine.left == 0)
    for rounds in (1, 2):
        with scheduler.admit() as ticket:
            assert (await ticket.submit(window()).result).segments
        await eventually(lambda most=-rounds: engine.left <= most)
        assert engine.left == -rounds  # asked once


async def test_work_comes_between_two_pieces_of_preparing(make_scheduler):
    class Busy(FakeEngine):
        prepared = 0

        def prepare(self):
            self.prepared += 1
            return True

    engine = Busy(capacity=1)
    scheduler = make_scheduler(engine)
    await eventually(lambda: engine.prepared > 1)
    with scheduler.admit() as ticket:
        assert (await ticket.submit(window()).result).segments


async def test_windows_of_jobs_wait_for_all_others(make_scheduler):
    engine = FakeEngine(capacity=1)
    scheduler = make_scheduler(engine)
    engine.gate.clear()
    with scheduler.admit() as clip, scheduler.admit() as long, scheduler.admit(is_job=True) as job:
        others = [long.submit(window(30))]
        await eventually(lambda: engine.steps)
        jobs = [job.submit(window()) for _ in range(3)]
        others += [long.submit(window(30)) for _ in range(4)]
        others += [clip.submit(window()) for _ in range(4)]
        engine.gate.set()
        await asyncio.gather(*(each.result for each in others + jobs))
    order = [w for step in engine.steps for w in step]
    assert order[-3:] == [each.window for each in jobs]


async def test_windows_of_jobs_hold_a_share_of_the_engine(make_scheduler):
    engine = FakeEngine(capacity=16)
    scheduler = make_scheduler(engine)
    engine.gate.clear()
    with scheduler.admit() as clip, scheduler.admit(is_job=True) as job:
        first = clip.submit(window())
        await eventually(lambda: engine.steps)
        assert scheduler.missing_job_windows == 5  # four, and one to come
        jobs = [job.submit(window()) for _ in range(9)]
        assert scheduler.missing_job_windows == 5 - 9
        engine.gate.set()
        await asyncio.gather(first.result, *(each.result for each in jobs))
    assert [len(step) for step in engine.steps] == [1, 4, 4, 1]
    assert scheduler.missing_job_windows == 5


async def test_jobs_take_no_room_from_others(make_scheduler):
    engine = FakeEngine(capacity=1)
    scheduler = make_scheduler(engine, max_queue_seconds=60.0)
    engine.gate.clear()
    with contextlib.ExitStack() as stack:
        jobs = [stack.enter_context(scheduler.admit(is_job=True)) for _ in range(3)]
        for job in jobs:
            decoded(job, 60.0)
        with scheduler.admit() as clip, scheduler.expect():
            decoded(clip, 60.0)
            assert scheduler.queue_seconds == 60.0
            with pytest.raises(QueueFull):
                scheduler.admit()
            scheduler.admit(is_job=True).__exit__(None, None, None)
        engine.gate.set()


async def test_a_job_that_leaves_frees_the_engine_within_a_step(make_scheduler):
    engine = FakeEngine(capacity=4)
    scheduler = make_scheduler(engine)
    engine.gate.clear()
    with scheduler.admit(is_job=True) as job:
        inside = job.submit(window())
        await eventually(lambda: engine.steps)
        job.submit(window())
    engine.gate.set()
    await eventually(lambda: engine.dropped)
    assert engine.dropped == [inside.window]
    assert scheduler.is_idle


async def test_a_request_has_company_while_the_engine_works_for_others(make_scheduler, engine):
    """Who waits for the diarizer, too, is none; jobs are none to a request."""
    engine.gate.clear()
    scheduler = make_scheduler(engine)
    with scheduler.admit() as alone, scheduler.admit() as other, scheduler.admit(True) as job:
        alone.is_diarized = True
        alone.submit(window())
        assert not alone.has_company
        job.submit(window())
        assert not alone.has_company
        other.submit(window())
        assert alone.has_company
        other.is_diarized = True
        assert not alone.has_company
        job.is_diarized, other.is_diarized = True, False
        assert job.has_company
        other.is_diarized, other.is_job = True, True
        assert not job.has_company
