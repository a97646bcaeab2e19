"""Serve an app until SIGTERM; requests in flight are answered before the process ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web

from asr.concurrency import Outage, end_tasks
from asr.config.config import Config
from asr.errors import ConfigError, ShuttingDown
from asr.http.app_keys import LIVE, SCHEDULER
from asr.resources.descriptors import connection_limit, raise_limit
from asr.server.connection_pool import ConnectionPool
from asr.server.event_loop import new_event_loop
from asr.server.jobs import JOB_WORK
from asr.server.listener import BACKLOG, open_port, open_wyoming, reserve, reserve_wyoming
from asr.server.logs import RepeatedErrors, watch_libraries
from asr.startup import StartupTimer

if TYPE_CHECKING:
    from asr.api.wyoming.port import WyomingPort

log = logging.getLogger(__name__)

SWEEP_SECONDS = 5  # Connections that take too long are looked for at least this often.
ANSWER_SECONDS = 1  # Requests that DRAIN_TIMEOUT_S cut off have so long to send their error.

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def run(app: web.Application, config: Config, start: StartupTimer) -> None:
    """Serve `app` until SIGTERM or SIGINT; requests in flight then have DRAIN_TIMEOUT_S.

    aiohttp's own `run_app` drops the rest of an upload that is under way when the signal comes,
    and waits for twice its time limit.

    Raises:
        ConfigError: HOST and PORT cannot be used, or the model cannot be loaded.
    """
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(app, config, start))
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
    """Counts the requests in flight, and refuses new ones while the server stops."""

    def __init__(self) -> None:
        self._count = 0
        self._all_answered = asyncio.Event()
        self._all_answered.set()
        self._accepts = True

    @web.middleware
    async def counted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self._accepts:  # on a connection that was open already
            raise ShuttingDown("the server is shutting down: send the request to another server")
        self._count += 1
        self._all_answered.clear()
        try:
            return await handler(request)
        finally:
            self._count -= 1
            if self._count == 0:
                self._all_answered.set()

    @property
    def count(self) -> int:
        """Requests in flight."""
        return self._count

    async def drain(self, seconds: float) -> bool:
        """Refuse new requests, and wait at most `seconds` for those in flight.

        Returns:
            Whether all are answered.
        """
        self._accepts = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._all_answered.wait()
        return self._all_answered.is_set()


async def _serve(app: web.Application, config: Config, start: StartupTimer) -> None:
    stop = _stop_signal()
    callers = RequestsInFlight()
    app.middlewares.append(callers.counted)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=ANSWER_SECONDS)
    descriptors = raise_limit()
    connections = connection_limit(descriptors, config.decoders, BACKLOG)
    wyoming = _wyoming_port(app, config, connections)
    pool = ConnectionPool(connections, config.body_timeout_s, asyncio.get_running_loop().time)
    listener = await reserve(runner, config, pool)
    try:
        if wyoming is not None:
            wyoming.listener = await reserve_wyoming(wyoming.protocol, config)
        if not await _is_set_up(runner, stop):
            log.info("stopping: the model is not loaded yet")
            return
        _freeze_loaded_objects()
        if wyoming is not None and wyoming.listener is not None:
            await open_wyoming(wyoming.listener, config)
        await open_port(listener, config)  # the last one: a server that answers there is ready
        log.info("at most %d connections at once, of %d descriptors", connections, descriptors)
        log.info("start: %s", start)
        async with _swept(pool, min(SWEEP_SECONDS, config.body_timeout_s / 4)):
            await stop.wait()
        listener.close()
        await _drain(app, callers, wyoming, config.drain_timeout_s)
    finally:
        listener.close()
        if wyoming is not None:
            await wyoming.end()
        await runner.cleanup()


def _wyoming_port(app: web.Application, config: Config, connections: int) -> WyomingPort | None:
    """The port for Home Assistant; its package is loaded only where it is wanted.

    Raises:
        ConfigError: the package is not installed.
    """
    if config.wyoming_port is None:
        return None
    try:
        from asr.api.wyoming.port import WyomingPort, most_clients
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "wyoming":
            raise
        raise ConfigError(
            f"WYOMING_PORT={config.wyoming_port} needs the package wyoming, which is not "
            "installed: pip install wyoming, or leave WYOMING_PORT unset"
        ) from error
    return WyomingPort(app, most_clients(connections))


def _freeze_loaded_objects() -> None:
    """Exclude the model and its libraries from garbage collection, because a pass stops all."""
    gc.collect()
    gc.freeze()


async def _drain(
    app: web.Application, callers: RequestsInFlight, wyoming: WyomingPort | None, seconds: float
) -> None:
    """Answer the requests in flight, which fail after `seconds`; jobs are put back then.

    Live sessions, which would last on, end at once: their clients connect to another server.
    """
    app[LIVE].stop()
    limit = f"DRAIN_TIMEOUT_S={seconds:g}"

    def in_flight() -> int:
        return callers.count + (0 if wyoming is None else wyoming.recordings)

    async def drained(within: float) -> bool:
        draining = [callers.drain(within)] + ([] if wyoming is None else [wyoming.drain(within)])
        return all(await asyncio.gather(*draining))

    log.info("stopping: waiting for %d requests, at most %s", in_flight(), limit)
    are_answered, _ = await asyncio.gather(drained(seconds), app[JOB_WORK].drain(seconds))
    if are_answered:
        return
    log.warning("stopping: %d requests are not done after %s", in_flight(), limit)
    app[SCHEDULER].end(f"the server is shutting down and {limit} has passed")
    await drained(ANSWER_SECONDS)


async def _is_set_up(runner: web.AppRunner, stop: asyncio.Event) -> bool:
    """Load everything; return False when the process must end before that is done."""
    setup = asyncio.create_task(runner.setup())
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({setup, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if setup.done():
        setup.result()
        return True
    await end_tasks(setup)
    return False


@contextlib.asynccontextmanager
async def _swept(pool: ConnectionPool, seconds: float) -> AsyncIterator[None]:
    """Every so many seconds, close connections that take too long, and report repeated errors."""
    sweeper = asyncio.create_task(_sweep(pool, watch_libraries(), seconds))
    try:
        yield
    finally:
        await end_tasks(sweeper)


async def _sweep(pool: ConnectionPool, errors: RepeatedErrors, seconds: float) -> None:
    outage = Outage(log, "connections are not closed", "connections are closed again")
    while True:
        await asyncio.sleep(seconds)
        with outage.survived("closing connections that take too long"):
            pool.sweep()
        with outage.survived("reporting repeated errors"):
            errors.report()


def _stop_signal() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the second one ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    kinds = (signal.SIGTERM, signal.SIGINT)

    def on_signal() -> None:
        stop.set()
        for kind in kinds:
            loop.remove_signal_handler(kind)
            signal.signal(kind, signal.SIG_DFL)

    for kind in kinds:
        loop.add_signal_handler(kind, on_signal)
    return stop
