"""A caller's connection, which ends if the caller does not read its answer."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import struct
import termios
from typing import Any

from aiohttp import web

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # While an answer waits, it is looked at this often whether any of it is taken.


class WatchedConnection(web.RequestHandler):
    """Drops its caller, who takes nothing of a waiting answer for `send_timeout_s`.

    Whatever the answer is, a stream or whole: what it holds is free then. A caller who reads
    slowly is not dropped.
    """

    def __init__(self, server: web.Server, send_timeout_s: float, **options: Any) -> None:
        super().__init__(server, **options)
        self._send_timeout_s = send_timeout_s
        self._look: asyncio.TimerHandle | None = None
        self._unsent = 0  # bytes, when last looked at
        self._taken_at = 0.0  # when bytes were taken last, by the loop's clock

    def pause_writing(self) -> None:
        """Begin to watch: the system's buffers are full, and more waits here."""
        super().pause_writing()
        self._unsent, self._taken_at = self._bytes_unsent(), self._loop.time()
        self._look_later()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._look_no_more()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._look_no_more()
        super().connection_lost(exc)

    def _look_later(self) -> None:
        seconds = min(LOOK_SECONDS, self._send_timeout_s / 4)
        self._look = self._loop.call_later(seconds, self._drop_if_idle)

    def _look_no_more(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _drop_if_idle(self) -> None:
        assert self.transport is not None
        unsent, now = self._bytes_unsent(), self._loop.time()
        if unsent < self._unsent:
            self._taken_at = now
        self._unsent = unsent
        if now - self._taken_at < self._send_timeout_s:
            self._look_later()
            return
        log.info(
            "%s took nothing of its answer for SEND_TIMEOUT_S=%g: the connection is dropped",
            self.transport.get_extra_info("peername"),
            self._send_timeout_s,
        )
        self.transport.abort()

    def _bytes_unsent(self) -> int:
        """Bytes that wait here or in the system, which frees its own in large steps only."""
        assert self.transport is not None
        waiting = _bytes_in_system(self.transport, termios.TIOCOUTQ)
        return self.transport.get_write_buffer_size() + waiting


def bytes_unread(transport: asyncio.Transport) -> int:
    """Bytes that have come and that the server has not read; 0 for a closed connection."""
    return _bytes_in_system(transport, termios.FIONREAD)


def _bytes_in_system(transport: asyncio.Transport, question: int) -> int:
    socket = transport.get_extra_info("socket")
    if socket is None or socket.fileno() < 0:
        return 0
    return int(struct.unpack("i", fcntl.ioctl(socket.fileno(), question, bytes(4)))[0])
