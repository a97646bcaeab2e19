"""The events that a session has to tell and its client has not read yet, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from asr.live.events import Hypothesis, LiveEvent

MOST_EVENTS = 256  # While so many wait to be read, the session does nothing more.


class Outbox:
    """A queue with one reader; those who put wait in `room` before they begin something new."""

    def __init__(self) -> None:
        self._events: deque[LiveEvent] = deque()
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._has_ended = False
        self._failure: BaseException | None = None

    def put(self, event: LiveEvent) -> None:
        """Add an event; a hypothesis takes the place of one that nobody has read."""
        if isinstance(event, Hypothesis) and self._events:
            last = self._events[-1]
            if isinstance(last, Hypothesis) and last.item_id == event.item_id:
                self._events.pop()
        self._events.append(event)
        if len(self._events) >= MOST_EVENTS:
            self._has_room.clear()
        self._changed.set()

    async def room(self) -> None:
        """Wait until the reader has read enough."""
        await self._has_room.wait()

    def end(self, failure: BaseException | None = None) -> None:
        """Let the reader end behind the events that are there, with an error if there is one."""
        self._has_ended = True
        self._failure = self._failure or failure
        self._changed.set()

    async def events(self) -> AsyncIterator[LiveEvent]:
        while True:
            while self._events:
                event = self._events.popleft()
                if len(self._events) < MOST_EVENTS:
                    self._has_room.set()
                yield event
            if self._has_ended:
                break
            self._changed.clear()
            await self._changed.wait()
        if self._failure is not None:
            raise self._failure
