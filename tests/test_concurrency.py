"""Work off the loop: how much of it is begun at once, and what becomes of it."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from asr.concurrency import Outage, ThreadPool, WaitBudget, end_tasks, run_in_thread
from tests.conftest import PATIENCE_SECONDS
from tests.support.clock import Clock


@pytest.fixture
def threads() -> Iterator[ThreadPool]:
    threads = ThreadPool(2, "test")
    yield threads
    threads.close()


async def test_what_fails_fails_for_its_caller(threads: ThreadPool) -> None:
    assert await threads.run(int, "7") == 7
    with pytest.raises(ValueError, match="seven"):
        await threads.run(int, "seven")


async def test_only_one_piece_of_work_is_begun_that_no_thread_is_free_for(
    threads: ThreadPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []
    may_end = threading.Event()
    submit = threads._executor.submit
    monkeypatch.setattr(threads._executor, "submit", lambda *work: begun.append(1) or submit(*work))
    work = [asyncio.create_task(threads.run(may_end.wait, 60)) for _ in range(20)]
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(begun) == 3
    may_end.set()
    assert all(await asyncio.gather(*work))


async def test_who_is_cancelled_waits_for_the_thread(threads: ThreadPool) -> None:
    began, may_end = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        may_end.wait(60)

    task = asyncio.create_task(threads.run(work))
    await asyncio.to_thread(began.wait, 60)
    task.cancel()
    for _ in range(50):
        await asyncio.sleep(0)
    assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_who_is_cancelled_twice_leaves_a_thread_that_hangs(threads: ThreadPool) -> None:
    began, may_end = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        may_end.wait(60)

    task = asyncio.create_task(threads.run(work))
    ending = asyncio.create_task(end_tasks(task))
    await asyncio.to_thread(began.wait, 60)
    for _ in range(50):
        await asyncio.sleep(0)
    assert not task.done()
    ending.cancel()
    for _ in range(50):
        await asyncio.sleep(0)
    assert task.cancelled()
    with pytest.raises(asyncio.CancelledError):
        await ending
    may_end.set()


async def test_a_failure_after_its_caller_has_left_is_not_logged(threads: ThreadPool) -> None:
    began, may_end = threading.Event(), threading.Event()
    logged: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))

    def work() -> None:
        began.set()
        may_end.wait(60)
        raise FileNotFoundError

    task = asyncio.create_task(threads.run(work))
    await asyncio.to_thread(began.wait, 60)
    task.cancel()
    may_end.set()
    await asyncio.wait({task})
    assert task.cancelled()
    del task
    gc.collect()
    assert logged == []


async def test_patience_counts_waiting_alone(clock: Clock) -> None:
    patience = WaitBudget(20)

    async def wait(seconds: float) -> None:
        async with patience.waiting():
            clock.advance(seconds)
            for _ in range(2):  # turns of the loop, which sees what time it is
                await asyncio.sleep(0)

    for _ in range(3):
        await wait(6)
        clock.advance(60)
    with pytest.raises(TimeoutError):
        await wait(3)


async def test_a_file_is_not_closed_while_a_thread_still_writes_it() -> None:
    begun, may_end = threading.Event(), threading.Event()
    ended: list[bool] = []

    def write() -> None:
        begun.set()
        may_end.wait(PATIENCE_SECONDS)
        ended.append(True)

    writer = asyncio.create_task(run_in_thread(write))
    assert await asyncio.to_thread(begun.wait, PATIENCE_SECONDS)
    writer.cancel()
    await asyncio.sleep(0)
    assert not writer.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await writer
    assert ended == [True]


@pytest.fixture
def outage(caplog: pytest.LogCaptureFixture) -> Outage:
    caplog.set_level(logging.INFO)
    return Outage(logging.getLogger("test"), "the store is away", "it is back", (OSError,))


def tried(outage: Outage, call: str, error: Exception | None = None) -> None:
    with outage.survived(call):
        if error is not None:
            raise error


def test_an_outage_is_told_once_and_its_end_once(
    outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    tried(outage, "read")
    for _ in range(3):
        tried(outage, "read", OSError("no answer"))
        tried(outage, "write", ConnectionError("no answer"))
    tried(outage, "read")
    tried(outage, "write")
    tried(outage, "write")
    assert caplog.messages == ["the store is away: no answer", "it is back"]


def test_a_fault_is_told_once_with_its_traceback_though_other_calls_succeed(
    outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        tried(outage, "read", ZeroDivisionError())
        tried(outage, "write")
    tried(outage, "read", KeyError("another"))
    tried(outage, "read", OSError("no answer"))
    fault = "read failed, and is tried again"
    assert caplog.messages == [fault, fault, "the store is away: no answer"]
    assert [record.exc_info is not None for record in caplog.records] == [True, True, False]


async def test_who_cancels_a_loop_is_not_survived(outage: Outage) -> None:
    with pytest.raises(asyncio.CancelledError), outage.survived("read"):
        raise asyncio.CancelledError
