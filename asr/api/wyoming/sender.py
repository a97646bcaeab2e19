"""Sends events to a client that may not read them."""

from __future__ import annotations

import asyncio

from wyoming.event import Event, async_write_event

UNREAD_BYTES = 2**20  # With more bytes unread a client has SEND_TIMEOUT_S to read some.


class EventSender:
    """Sends events, and closes the connection.

    Args:
        timeout_s: seconds that a client may take to read.
    """

    def __init__(self, writer: asyncio.StreamWriter, timeout_s: float) -> None:
        self._writer = writer
        self._timeout_s = timeout_s
        writer.transport.set_write_buffer_limits(high=UNREAD_BYTES)

    async def send(self, event: Event) -> None:
        """Send an event.

        Raises:
            ConnectionError: the client has left, or reads nothing for `timeout_s`.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                await async_write_event(event, self._writer)
        except TimeoutError as error:
            self.abort()
            raise ConnectionAbortedError("the client reads nothing") from error

    async def send_last(self, event: Event) -> None:
        """Send an event after which none comes, so that the client knows.

        Raises:
            ConnectionError: as for `send`.
        """
        await self.send(event)
        self._writer.write_eof()

    def abort(self) -> None:
        """Close the connection at once, whatever is unsent."""
        self._writer.transport.abort()

    def close(self) -> None:
        """Close the connection when all is sent."""
        self._writer.close()

    async def closed(self) -> None:
        """Wait until it is closed, for at most `timeout_s`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._writer.wait_closed()
        except (TimeoutError, ConnectionError):
            self.abort()
