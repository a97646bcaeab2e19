"""The server's event loop, which takes a few of the sockets that are ready in each turn."""

from __future__ import annotations

import asyncio
import os
import select
import selectors
import sys

MOST_EVENTS = 64  # One turn of the event loop takes so many sockets that are ready.


def new_event_loop() -> asyncio.AbstractEventLoop:
    """An event loop whose turns stay short when thousands of sockets are ready at once.

    Python's own takes all of them in one turn: of ten thousand requests every one would be held
    in memory before the first is answered, and timers and health checks would wait for that.
    """
    if sys.platform != "linux":
        return asyncio.new_event_loop()
    return asyncio.SelectorEventLoop(FewAtOnce())


if sys.platform == "linux":

    class FewAtOnce(selectors.EpollSelector):
        """Gives out at most MOST_EVENTS sockets at a time.

        The system puts those behind the ones that are still to come, so each has its turn.
        """

        def __init__(self) -> None:
            super().__init__()
            self._epoll = select.epoll.fromfd(os.dup(self.fileno()))  # the same one

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            """The sockets that are ready, waiting at most `timeout` seconds; None: for ever."""
            keys = self.get_map()
            try:
                found = self._epoll.poll(timeout, MOST_EVENTS)
            except InterruptedError:
                return []
            ready = []
            for descriptor, bits in found:
                key = keys.get(descriptor)
                if key is not None:  # an error is told to readers and to writers
                    can_read = selectors.EVENT_READ if bits & ~select.EPOLLOUT else 0
                    can_write = selectors.EVENT_WRITE if bits & ~select.EPOLLIN else 0
                    ready.append((key, (can_read | can_write) & key.events))
            return ready

        def close(self) -> None:
            self._epoll.close()
            super().close()
