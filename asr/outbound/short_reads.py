"""Receives little at once from far servers, because each turn of the event loop parses that."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

# In one turn of the event loop a connection receives at most so many bytes; asyncio takes 256 KiB,
# in which ten thousand heads or chunks of a server that means harm would hold the loop for 100 ms.
TURN_BYTES = 16 * 1024
BODY_TURN_BYTES = 128 * 1024  # It receives so many of a body that is not in chunks.


class ShortReads(socket.socket):
    """A socket that gives out few bytes at once."""

    most = TURN_BYTES

    def recv(self, size: int, flags: int = 0) -> bytes:
        return super().recv(min(size, self.most), flags)

    def recv_into(self, buffer: Buffer, size: int = 0, flags: int = 0) -> int:
        room = size or memoryview(buffer).nbytes
        return super().recv_into(buffer, min(room, self.most), flags)


def read_faster(response: aiohttp.ClientResponse) -> None:
    """Receive more at once, where only bytes of the file come."""
    connection = response.connection
    if (
        connection is None
        or connection.transport is None
        or "Transfer-Encoding" in response.headers
    ):
        return
    found = connection.transport.get_extra_info("socket")
    found = getattr(found, "_sock", found)  # asyncio shows a part of a socket alone
    if isinstance(found, ShortReads):
        found.most = BODY_TURN_BYTES
