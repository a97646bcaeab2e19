"""Serve an app until SIGTERM; whoever is in flight then is answered first."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.log import server_logger

from asr.config import Config
from asr.errors import ShuttingDown
from asr.http.app_keys import SCHEDULER
from asr.server.listener import open_port, reserve
from asr.startup import StartupTimer

log = logging.getLogger(__name__)

SWEEP_SECONDS = 5
ANSWER_SECONDS = 1  # for telling those who are not done within DRAIN_TIMEOUT_S

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def run(app: web.Application, config: Config, start: StartupTimer) -> None:
    """Serve `app` until SIGTERM or SIGINT; what is in flight then gets DRAIN_TIMEOUT_S.

    aiohttp's own `run_app` drops the rest of an upload that is under way when the signal comes,
    and waits for twice its time limit.

    Raises:
        ConfigError: HOST and PORT cannot be listened on, or the model cannot be loaded.
    """
    server_logger.addFilter(_is_ours)
    asyncio.run(_serve(app, config, start))
    log.info("stopped")
    _leave()


def _leave() -> None:
    """End the process at once.

    The interpreter would take torch apart for seconds, and where a thread still computes (the
    model is loading, a step does not end) C++ aborts.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


class RequestsInFlight:
    """The requests in flight, and whether more are taken."""

    def __init__(self) -> None:
        self._count = 0
        self._are_gone = asyncio.Event()
        self._are_gone.set()
        self._are_welcome = True

    @web.middleware
    async def counted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self._are_welcome:  # on a connection that was open already
            raise ShuttingDown("the server is shutting down: send the request again, to another")
        self._count += 1
        self._are_gone.clear()
        try:
            return await handler(request)
        finally:
            self._count -= 1
            if self._count == 0:
                self._are_gone.set()

    @property
    def count(self) -> int:
        """Requests in flight."""
        return self._count

    async def gone(self, seconds: float) -> bool:
        """Take no more requests, and wait until those in flight are answered."""
        self._are_welcome = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._are_gone.wait()
        return self._are_gone.is_set()


async def _serve(app: web.Application, config: Config, start: StartupTimer) -> None:
    stop = _stop_signal()
    callers = RequestsInFlight()
    app.middlewares.append(callers.counted)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=ANSWER_SECONDS)
    listener = await reserve(runner, config)
    try:
        if not await _is_set_up(runner, stop):
            log.info("stopping: the model is not loaded yet")
            return
        _set_aside_what_is_loaded()
        await open_port(listener, config)
        log.info("start: %s", start)
        async with _silent_ones_closed(runner, config.body_timeout_s):
            await stop.wait()
        listener.close()
        await _drain(app, callers, config.drain_timeout_s)
    finally:
        listener.close()
        await runner.cleanup()


def _set_aside_what_is_loaded() -> None:
    """Spare the garbage collector the model and its libraries: going through them stops all."""
    gc.collect()
    gc.freeze()


async def _drain(app: web.Application, callers: RequestsInFlight, seconds: float) -> None:
    """Answer those in flight, in time."""
    limit = f"DRAIN_TIMEOUT_S={seconds:g}"
    log.info("stopping: waiting for %d requests, at most %s", callers.count, limit)
    if await callers.gone(seconds):
        return
    log.warning("stopping: %d requests are not done after %s", callers.count, limit)
    app[SCHEDULER].end(f"the server is shutting down and {limit} is over")
    await callers.gone(ANSWER_SECONDS)


async def _is_set_up(runner: web.AppRunner, stop: asyncio.Event) -> bool:
    """Load everything; False where the process is to end before that is done."""
    setup = asyncio.create_task(runner.setup())
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({setup, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if setup.done():
        setup.result()
        return True
    setup.cancel()
    await asyncio.gather(setup, return_exceptions=True)
    return False


@contextlib.asynccontextmanager
async def _silent_ones_closed(runner: web.AppRunner, seconds: float) -> AsyncIterator[None]:
    """Close connections without a whole request head in time; aiohttp waits for it for ever."""
    sweeper = asyncio.create_task(_sweep(runner, seconds))
    try:
        yield
    finally:
        sweeper.cancel()
        await asyncio.gather(sweeper, return_exceptions=True)


async def _sweep(runner: web.AppRunner, seconds: float) -> None:
    first_seen: dict[web.RequestHandler, float] = {}
    while True:
        await asyncio.sleep(min(SWEEP_SECONDS, seconds / 4))
        assert runner.server is not None
        now = time.monotonic()
        silent = [each for each in runner.server.connections if each._request_count == 0]
        first_seen = {each: first_seen.get(each, now) for each in silent}
        for connection, since in first_seen.items():
            if now - since > seconds:
                connection.force_close()


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a log record tells of an error here, and not of a caller who speaks no HTTP."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or not issubclass(kind, HttpProcessingError)


def _stop_signal() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the second one ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    kinds = (signal.SIGTERM, signal.SIGINT)

    def heed() -> None:
        stop.set()
        for kind in kinds:
            loop.remove_signal_handler(kind)
            signal.signal(kind, signal.SIG_DFL)

    for kind in kinds:
        loop.add_signal_handler(kind, heed)
    return stop
