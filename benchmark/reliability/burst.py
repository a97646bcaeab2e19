"""Send thousands of requests at the same moment, far more than the server may accept."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import resource
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

SOURCES = 200  # Connections come from so many loopback addresses: each has its own ports.
ANSWER_S = 600.0  # A request that is not answered within so many seconds has failed.
TRIES = 5  # A connection that the server's backlog has no room for is tried so many times.
RESERVE = 500  # This program needs so many descriptors besides the connections.


@dataclass
class Burst:
    """Sorts the answers to a burst."""

    accepted: int = 0
    refused: int = 0
    without_retry_after: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    refusal_s: list[float] = field(default_factory=list)  # from the sent head to the answer
    retry_after: Counter[str] = field(default_factory=Counter)


def allow_descriptors(count: int) -> None:
    """Raise this process's limit, as far as it may be."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + RESERVE
    soft = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    if soft > resource.getrlimit(resource.RLIMIT_NOFILE)[0]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))


async def send_at_once(port: int, data: bytes, count: int) -> Burst:
    """Send `count` requests with `data` as their body, all at once."""
    allow_descriptors(count)
    burst = Burst()
    sources = itertools.cycle(f"127.0.0.{number}" for number in range(2, SOURCES + 2))
    head = f"POST /asr HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    async with asyncio.TaskGroup() as group:
        for source in itertools.islice(sources, count):
            group.create_task(_send(burst, port, source, [head, data]))
    return burst


async def _send(burst: Burst, port: int, source: str, request: Sequence[bytes]) -> None:
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await _connected(port, source)
            try:
                began = time.monotonic()
                writer.writelines(request)
                # A refusal may come, and the connection be closed, before all is sent.
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
                _note(burst, await reader.readuntil(b"\r\n\r\n"), time.monotonic() - began)
            finally:
                writer.close()
    except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError) as error:
        burst.failures[type(error).__name__] += 1


async def _connected(port: int, source: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for left in reversed(range(TRIES)):
        try:
            return await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        except OSError:
            if not left:
                raise
            await asyncio.sleep(1)
    raise AssertionError("the last try returns or raises")


def _note(burst: Burst, head: bytes, seconds: float) -> None:
    status, *lines = head.decode("latin-1").split("\r\n")
    code = status.split()[1]
    named = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
    if code == "200":
        burst.accepted += 1
    elif code in {"429", "503"}:
        burst.refused += 1
        burst.refusal_s.append(seconds)
        burst.without_retry_after += "retry-after" not in named
        burst.retry_after[named.get("retry-after", "none")] += 1
    else:
        burst.failures[code] += 1
