"""The connections of the Wyoming port: how many there may be, and how they end."""

from __future__ import annotations

import asyncio
import functools
import logging

from aiohttp import web

from asr.api.wyoming.connection import WyomingConnection
from asr.api.wyoming.description import described
from asr.api.wyoming.means import ConnectionMeans
from asr.api.wyoming.reader import LINE_BYTES
from asr.http import app_keys
from asr.http.sources import LENGTH_BYTES, BodyLimits, receive_at_most

log = logging.getLogger(__name__)

MOST_CLIENTS = 256  # No more connections are open at once, however many descriptors there are.
LEAST_CLIENTS = 4  # So many may be open, however few there are.
SHARE = 8  # Of the connections that the process may have, one of so many is for this port.


def most_clients(connections: int) -> int:
    """How many of the process's connections are for this port."""
    return max(LEAST_CLIENTS, min(MOST_CLIENTS, connections // SHARE))


class WyomingPort:
    """Carries every connection of the port until the server ends.

    Args:
        app: is set up before the first connection comes.
        most: connections that may be open at once; for a new one, one that is idle gives way.
    """

    def __init__(self, app: web.Application, most: int) -> None:
        self.listener: asyncio.Server | None = None  # what accepts its connections
        self._app = app
        self._most = most
        self._open: dict[WyomingConnection, None] = {}  # The first one came first.
        self._tasks: set[asyncio.Task[None]] = set()  # of these, and of those that are closing

    @property
    def recordings(self) -> int:
        """How many recordings are on their way."""
        return sum(not connection.is_idle for connection in self._open)

    def protocol(self) -> asyncio.StreamReaderProtocol:
        """What asyncio's server needs of each new connection."""
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(LINE_BYTES), self._enter)

    async def drain(self, seconds: float) -> bool:
        """Let the recordings on their way be answered within `seconds`, and end all else.

        Returns:
            Whether all are answered.
        """
        self._close_listener()
        for connection in self._open:
            connection.finish()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        return not self.recordings

    async def end(self) -> None:
        """End all connections at once."""
        self._close_listener()
        for connection in self._open:
            connection.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _close_listener(self) -> None:
        if self.listener is not None:
            self.listener.close()

    async def _enter(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        receive_at_most(writer.transport, LENGTH_BYTES)
        if len(self._open) >= self._most and not self._close_one():
            log.warning("a connection is refused: all %d are busy", self._most)
            writer.transport.abort()
            return
        connection = WyomingConnection(stream, writer, self._means)
        self._open[connection] = None
        task = asyncio.create_task(connection.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._open.pop(connection, None))

    def _close_one(self) -> bool:
        """Let one that is idle give way, of several the one that came first."""
        for connection in self._open:
            if connection.is_idle:
                connection.abort()
                del self._open[connection]
                return True
        return False

    @functools.cached_property
    def _means(self) -> ConnectionMeans:
        app = self._app
        config, engine = app[app_keys.CONFIG], app[app_keys.ENGINE].info
        transcriber = app[app_keys.TRANSCRIBER]
        return ConnectionMeans(
            transcriber=transcriber,
            scheduler=app[app_keys.SCHEDULER],
            memory=app[app_keys.MEMORY],
            metrics=app[app_keys.METRICS],
            engine=engine,
            info=described(engine, transcriber.server_info).event(),
            limits=BodyLimits(config.max_body_bytes, config.body_timeout_s),
            idle_timeout_s=config.keepalive_timeout_s,
            send_timeout_s=config.send_timeout_s,
        )
