"""The WebSocket of a live session, which closes so that its client learns why."""

from __future__ import annotations

import asyncio
from typing import Literal

from aiohttp import WSCloseCode, web

PROTOCOL = "realtime"  # The subprotocol of OpenAI's clients.
HEARTBEAT_SECONDS = 30.0  # Gateways close connections that are silent for 100 s.
# A larger message is answered by closing with 1009: 15 MiB of audio are 20 MiB of base64.
MESSAGE_BYTES = 22 * 2**20
CLOSE_SECONDS = 3.0  # The client has so long to answer that the connection is closed.
LINGER_SECONDS = 10.0  # What follows a message that is too large is passed over for so long.


class RealtimeSocket(web.WebSocketResponse[Literal[False]]):
    """Gives out text as bytes, which are decoded elsewhere, and answers no pings by itself."""

    def __init__(self) -> None:
        super().__init__(
            protocols=(PROTOCOL,),
            heartbeat=HEARTBEAT_SECONDS,
            max_msg_size=MESSAGE_BYTES,
            compress=False,  # it would spend time on base64, which hardly shrinks
            autoping=False,
            decode_text=False,
            timeout=CLOSE_SECONDS,
        )
        self._told: int | None = None  # the code of the close frame

    async def close(
        self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True
    ) -> bool:
        self._told = self._told or code
        return await super().close(code=code, message=message, drain=drain)

    @property
    def refuses_size(self) -> bool:
        """Whether the client was told that its message is too large."""
        return self._told == WSCloseCode.MESSAGE_TOO_BIG

    async def pass_over_rest(self) -> None:
        """Read the rest of a message that is too large, until the client closes."""
        await asyncio.sleep(LINGER_SECONDS)  # its handler is cancelled before, as a rule

    def _close_transport(self) -> None:
        """Close, but only the own side where the client still sends.

        The system would take the close frame away from a client whose bytes nobody reads.
        """
        transport = self._req.transport if self._req is not None else None
        if self.refuses_size and transport is not None:
            transport.write_eof()
            return
        super()._close_transport()
