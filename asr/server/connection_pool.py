"""Bounds the connections that are open: the one that is idle for longest gives way."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Protocol

RESERVE = 16  # So many connections above the limit are taken; they are answered health checks.
LOOKED_AT = 100  # Of those that may be idle, so many are looked at for one that gives way.
UNREAD_SECONDS = 30  # A closed connection whose last answer is not read has so long to read it.


class Idler(Protocol):
    """What the pool must know of a connection."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing has come since the last answer, and that one is sent."""

    @property
    def head_since(self) -> float | None:
        """When the first byte of the request's head came that is not whole yet."""

    def force_close(self) -> None:
        """Close the connection; its last bytes are still sent."""


class ConnectionPool:
    """Knows every connection and closes those that have been idle for longest.

    Args:
        limit: connections that may be open at once.
        head_seconds: that a request's head may take to arrive.
        clock: the event loop's.
    """

    def __init__(self, limit: int, head_seconds: float, clock: Callable[[], float]) -> None:
        self.limit = limit
        self._head_seconds = head_seconds
        self._clock = clock
        self._open: dict[Idler, asyncio.Transport] = {}
        self._idle: dict[Idler, None] = {}  # The one that has been idle for longest comes first.
        self._closing: dict[Idler, tuple[asyncio.Transport, float]] = {}  # and since when

    def enter(self, connection: Idler, transport: asyncio.Transport) -> bool:
        """Take a new connection; return whether it may send any request.

        One that may not, because all others are busy, is answered health checks.
        """
        is_within = len(self._open) < self.limit or self._close_oldest()
        if not is_within and len(self._open) >= self.limit + RESERVE:
            transport.abort()
            return False
        self._open[connection] = transport
        self._idle[connection] = None
        return is_within

    def leave(self, connection: Idler) -> None:
        """Forget a connection that is lost."""
        self._open.pop(connection, None)
        self._idle.pop(connection, None)
        self._closing.pop(connection, None)

    def busy(self, connection: Idler) -> None:
        """Note that a request has come."""
        self._idle.pop(connection, None)

    def answered(self, connection: Idler) -> None:
        """Note that the request is answered."""
        if connection in self._open:
            self._idle[connection] = None

    def sweep(self) -> None:
        """Close connections whose request's head takes too long, and those never read."""
        now = self._clock()
        for connection, transport in list(self._open.items()):
            since = connection.head_since
            is_late = since is not None and now - since > self._head_seconds
            if transport.is_closing():
                self._note_closing(connection)
            elif is_late and connection.is_idle:
                self._close(connection)
        for transport, since in list(self._closing.values()):
            if now - since > UNREAD_SECONDS:
                transport.abort()

    def _close_oldest(self) -> bool:
        for connection in itertools.islice(self._idle, LOOKED_AT):
            if connection.is_idle:
                self._close(connection)
                return True
        return False

    def _close(self, connection: Idler) -> None:
        self._note_closing(connection)
        connection.force_close()

    def _note_closing(self, connection: Idler) -> None:
        self._idle.pop(connection, None)
        self._closing[connection] = self._open.pop(connection), self._clock()
