"""Sends a session's events in their order, as fast as the client reads them."""

from __future__ import annotations

import asyncio
import json
from collections import deque

from asr.api.openai.realtime.socket import RealtimeSocket
from asr.http.openapi import Json

# Events of more bytes than this may wait for a client; it has not read for minutes then.
MOST_BYTES = 2**20


class SlowReader(Exception):
    """The client does not read its events."""


class Sender:
    """Keeps events until they are sent; whoever puts one does not wait for that."""

    def __init__(self, socket: RealtimeSocket) -> None:
        self._socket = socket
        self._waiting: deque[str] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()
        self._is_finished = False

    def put(self, event: Json) -> None:
        """Send an event behind those that wait.

        Raises:
            SlowReader: too many wait already.
        """
        text = json.dumps(event)  # as ASCII: characters are bytes
        if self._bytes + len(text) > MOST_BYTES:
            raise SlowReader
        self._waiting.append(text)
        self._bytes += len(text)
        self._changed.set()

    def finish(self) -> None:
        """Let `run` end once all events are sent."""
        self._is_finished = True
        self._changed.set()

    async def run(self) -> None:
        """Send what is put.

        Raises:
            ConnectionError: the client has left.
        """
        while self._waiting or not self._is_finished:
            if not self._waiting:
                self._changed.clear()
                await self._changed.wait()
                continue
            text = self._waiting.popleft()
            await self._socket.send_str(text)
            self._bytes -= len(text)
