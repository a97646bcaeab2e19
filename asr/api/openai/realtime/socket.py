"""The WebSocket of a live session, which closes so that its client learns why."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from aiohttp import WebSocketError, WSCloseCode, web
from aiohttp.http_websocket import WSMessageNoDecodeText

from asr.api.openai.realtime.memory import NO_ROOM, SessionMemory

PROTOCOL = "realtime"  # The subprotocol of OpenAI's clients.
HEARTBEAT_SECONDS = 30.0  # Gateways close connections that are silent for 100 s.
# A larger message is answered by closing with 1009: 15 MiB of audio are 20 MiB of base64.
MESSAGE_BYTES = 22 * 2**20
CLOSE_SECONDS = 3.0  # The client has so long to answer that the connection is closed.
LINGER_SECONDS = 10.0  # What follows a message that is too large is passed over for so long.
SMALL_BYTES = 64 * 1024  # A larger message is counted while it arrives, and read in a thread.
MASK_BYTES = 4  # Each frame of a client has a mask of so many bytes (RFC 6455, section 5.2).


class RealtimeSocket(web.WebSocketResponse[Literal[False]]):
    """Gives out text as bytes, which are decoded elsewhere, and answers no pings by itself.

    Args:
        memory: counts what the session holds.
    """

    def __init__(self, memory: SessionMemory) -> None:
        super().__init__(
            protocols=(PROTOCOL,),
            heartbeat=HEARTBEAT_SECONDS,
            max_msg_size=MESSAGE_BYTES,
            compress=False,  # it would spend time on base64, which hardly shrinks
            autoping=False,
            decode_text=False,
            timeout=CLOSE_SECONDS,
        )
        self.memory = memory
        self._arrival: Arrival | None = None
        self._told: int | None = None  # the code of the close frame

    async def receive(self, timeout: float | None = None) -> WSMessageNoDecodeText:
        message = await super().receive(timeout)
        if self._arrival is not None and isinstance(message.data, bytes):
            self._arrival.taken += _on_the_wire(len(message.data))
        return message

    async def close(
        self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True
    ) -> bool:
        self._told = self._told or code
        if code == WSCloseCode.TRY_AGAIN_LATER:
            message = message or NO_ROOM.encode()
        return await super().close(code=code, message=message, drain=drain)

    @property
    def refuses_rest(self) -> bool:
        """Whether the client was told of a message that it may not send to its end."""
        is_full = self._arrival is not None and self._arrival.is_refused
        return is_full or self._told == WSCloseCode.MESSAGE_TOO_BIG

    async def pass_over_rest(self) -> None:
        """Read the rest of a message that is refused, until the client closes."""
        await asyncio.sleep(LINGER_SECONDS)  # its handler is cancelled before, as a rule

    def _post_start(self, request: web.BaseRequest, *others: Any) -> None:
        super()._post_start(request, *others)
        assert self._reader is not None
        self._arrival = Arrival(self._parser, self._reader, self.memory)
        request.protocol._payload_parser = self._arrival

    def _close_transport(self) -> None:
        """Close, but only the own side where the client still sends.

        The system would take the close frame away from a client whose bytes nobody reads.
        """
        transport = self._req.transport if self._req is not None else None
        if self.refuses_rest and transport is not None:
            transport.write_eof()
            return
        super()._close_transport()


class Arrival:
    """Hands bytes on to aiohttp's parser, and counts those of a message that is not complete.

    Args:
        parser, queue: aiohttp's; complete messages wait in the queue.
    """

    def __init__(self, parser: Any, queue: Any, memory: SessionMemory) -> None:
        self._parser = parser
        self._queue = queue
        self._memory = memory
        self._received = 0  # bytes
        self.taken = 0  # bytes of messages that were taken out of the queue
        self.is_refused = False  # There was no room for a message.

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._received += len(data)
        ends, rest = self._parser.feed_data(data)
        size = self._received - self.taken
        if size > SMALL_BYTES:
            size -= sum(_on_the_wire(length) for _, length in self._queue._buffer)
        self._memory.arriving = size if size > SMALL_BYTES else 0
        if self._memory.arriving and not self._memory.has_room:
            self.is_refused = ends = True
            self._queue.set_exception(WebSocketError(WSCloseCode.TRY_AGAIN_LATER, NO_ROOM))
        return ends, rest

    def feed_eof(self) -> None:
        self._parser.feed_eof()


def _on_the_wire(length: int) -> int:
    """The bytes of a client's frame of so many bytes (RFC 6455, section 5.2)."""
    extended = 0 if length < 126 else 2 if length < 1 << 16 else 8
    return 2 + extended + MASK_BYTES + length
