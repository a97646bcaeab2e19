"""Send requests that the server must refuse, many times, and see whether it grows."""

from __future__ import annotations

import contextlib
import socket

from benchmark.reliability.observed import Observed

CHUNKS = 65_537  # A body comes in so many chunks of one byte.
CONNECT_S = 60.0  # A refusal that has not come after so many seconds does not come.


def one_byte_chunks(count: int = CHUNKS) -> bytes:
    """Return a request whose body, which is no audio, comes in chunks of one byte."""
    head = (
        b"POST /asr HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    return head + b"1\r\na\r\n" * count + b"0\r\n\r\n"


def growth(observed: Observed, request: bytes, warm_up: int, times: int) -> tuple[float, set[int]]:
    """Return the MiB that the server grows by in `times` requests, and the statuses."""
    statuses = {_status(observed.server.port, request) for _ in range(warm_up)}
    before = observed.usage().rss
    statuses |= {_status(observed.server.port, request) for _ in range(times)}
    return observed.usage().rss - before, statuses


def _status(port: int, request: bytes) -> int:
    with socket.create_connection(("127.0.0.1", port), CONNECT_S) as caller:
        with contextlib.suppress(ConnectionError):  # refused before all was sent
            caller.sendall(request)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while part := caller.recv(65_536):
                answer += part
    return int(answer.split()[1]) if answer.startswith(b"HTTP/") else 0
