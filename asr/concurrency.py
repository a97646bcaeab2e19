"""Runs work off the event loop in threads, ends tasks, and limits the time spent waiting."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")


class ThreadPool:
    """A pool of threads for one purpose.

    At most one call more than there are threads is handed to them: results that arrive together
    are handled in one turn of the event loop, and everyone else waits for its end.
    """

    def __init__(self, count: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._turns = asyncio.Semaphore(count + 1)

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def run(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Run `function` in a thread; a cancelled caller waits until the thread has finished.

        One that is cancelled again leaves at once, for a thread may hang: the function may still
        use what it was given then.
        """
        async with self._turns:
            loop = asyncio.get_running_loop()
            future = loop.run_in_executor(self._executor, function, *arguments)
            return await _finished(future)


async def run_in_thread(function: Callable[..., Result], *arguments: object) -> Result:
    """Run `function` in a thread; a cancelled caller waits until the thread has finished.

    With `asyncio.to_thread` the caller would close a file that the thread still writes. One that is
    cancelled again leaves at once, for a thread may hang.
    """
    loop = asyncio.get_running_loop()
    return await _finished(loop.run_in_executor(None, function, *arguments))


async def run_in_daemon(function: Callable[[], Result]) -> Result:
    """Run `function` in a thread that the process does not wait for: SIGTERM ends it meanwhile."""
    done: Future[Result] = Future()
    done.set_running_or_notify_cancel()

    def run() -> None:
        try:
            done.set_result(function())
        except BaseException as error:  # it is raised where the result is awaited
            done.set_exception(error)

    threading.Thread(target=run, name="load", daemon=True).start()
    return await asyncio.wrap_future(done)


async def end_tasks(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks and wait until they have ended: then nothing uses any more what they used.

    A caller that is cancelled meanwhile cancels them once more, and waits too. Errors of the tasks
    are neither raised nor logged: whoever needs them asks the task.

    Raises:
        CancelledError: the caller was cancelled; raised when the tasks have ended.
    """
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _finished(future: asyncio.Future[Result]) -> Result:
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        future.add_done_callback(_seen)
        await asyncio.wait([future])
        raise


def _seen(future: asyncio.Future[Result]) -> None:
    """Mark a failure as seen: asyncio would log one that nobody has asked for."""
    if not future.cancelled():
        future.exception()


class WaitBudget:
    """Limits the total time of all waits for bytes; other work does not count."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds

    @contextlib.asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """Count the time of the block; raise `TimeoutError` in it once no time is left."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, self._left)):
                yield
        finally:
            self._left -= time.monotonic() - started


class Outage:
    """Logs that calls fail, once until they succeed again.

    A loop in the background ends for good with what it does not catch: here it catches all.

    Args:
        begins, ends: what is the case while calls fail by `passing`, and when they succeed again.
        passing: errors whose cause is known; all others are faults of ours.
    """

    def __init__(
        self,
        log: logging.Logger,
        begins: str,
        ends: str,
        passing: tuple[type[Exception], ...] = (),
    ) -> None:
        self._log = log
        self._begins, self._ends = begins, ends
        self._passing = passing
        self._failing: dict[str, type[Exception]] = {}  # what the last call of each name raised

    @contextlib.contextmanager
    def survived(self, call: str) -> Iterator[None]:
        """Go on after the block, whatever fails in it."""
        try:
            yield
        except Exception as error:  # the boundary: the next call may succeed
            self.note(call, error)
        else:
            self.over(call)

    def note(self, call: str, error: Exception) -> None:
        """Log the failure of a call, unless it is known."""
        is_known = self._failing.get(call) is type(error)
        is_away = any(issubclass(each, self._passing) for each in self._failing.values())
        self._failing[call] = type(error)
        if not isinstance(error, self._passing):
            if not is_known:
                self._log.error("%s failed, and is tried again", call, exc_info=error)
        elif not is_away:
            self._log.warning("%s: %s", self._begins, error or type(error).__name__)

    def over(self, call: str) -> None:
        """Note the success of a call; the last one that failed says that it is over."""
        if self._failing.pop(call, None) is not None and not self._failing:
            self._log.info("%s", self._ends)
