"""Open thousands of connections that send nothing or little, and see whom the server serves."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmark.reliability.burst import SOURCES, allow_descriptors

CONNECT_S = 10.0  # A connection that is not accepted within so many seconds is given up.
PROBE_S = 10.0  # A probe without an answer after so many seconds has failed.
AT_ONCE = 200  # So many connections are opened at the same time.
HEALTH = b"GET /hc HTTP/1.1\r\nHost: x\r\n\r\n"

Opened = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Idle:
    """Holds how a server does while thousands of connections are idle."""

    asked: int
    opened: int = 0
    probes: list[float] = field(default_factory=list)  # seconds of each /hc that was answered 200
    probe_failures: int = 0
    statuses: list[int] = field(default_factory=list)  # of transcriptions meanwhile


async def hold_idle(port: int, count: int, clip: bytes, probes: int, speak: bool = True) -> Idle:
    """Open `count` connections, keep them, and probe `/hc` and `/asr` on new ones.

    Args:
        speak: each connection asks for `/hc` once before it is idle, so that it is kept alive.
    """
    allow_descriptors(count)
    idle, held = Idle(count), []
    gate = asyncio.Semaphore(AT_ONCE)
    sources = itertools.cycle(f"127.0.0.{number}" for number in range(2, SOURCES + 2))

    async def open_one(source: str) -> None:
        async with gate:
            with contextlib.suppress(OSError, TimeoutError, EOFError):
                async with asyncio.timeout(CONNECT_S):
                    opened = await asyncio.open_connection(
                        "127.0.0.1", port, local_addr=(source, 0)
                    )
                    held.append(opened)
                    if speak:
                        opened[1].write(HEALTH)
                        await opened[0].readuntil(b"\r\n\r\n")
                    idle.opened += 1

    try:
        await asyncio.gather(*map(open_one, itertools.islice(sources, count)))
        for _ in range(probes):
            await _probe(port, idle)
        idle.statuses = [await _status(port, clip) for _ in range(3)]
    finally:
        await _close(held)
    return idle


async def until_closed(port: int, starts: Sequence[bytes], seconds: float) -> list[float | None]:
    """Send only the start of a request on each connection.

    Returns:
        Seconds until the server closed each; None where it did not within `seconds`.
    """

    async def one(start: bytes) -> float | None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        began = time.monotonic()
        try:
            writer.write(start)
            async with asyncio.timeout(seconds):
                while await reader.read(65_536):
                    pass
            return time.monotonic() - began
        except TimeoutError:
            return None
        except OSError:
            return time.monotonic() - began
        finally:
            writer.close()

    return list(await asyncio.gather(*map(one, starts)))


async def _probe(port: int, idle: Idle) -> None:
    began = time.monotonic()
    if await _asked(port, HEALTH) == 200:
        idle.probes.append(time.monotonic() - began)
    else:
        idle.probe_failures += 1


async def _status(port: int, clip: bytes) -> int:
    head = f"POST /asr HTTP/1.1\r\nHost: x\r\nContent-Length: {len(clip)}\r\n\r\n".encode()
    return await _asked(port, head + clip)


async def _asked(port: int, request: bytes) -> int:
    """Return the status of an answer on a new connection, 0 when there is none."""
    with contextlib.suppress(OSError, TimeoutError, EOFError):
        async with asyncio.timeout(PROBE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(request)
                return int((await reader.readuntil(b"\r\n\r\n")).split()[1])
            finally:
                writer.close()
    return 0


async def _close(held: Sequence[Opened]) -> None:
    for _, writer in held:
        writer.close()
    for _, writer in held:
        with contextlib.suppress(OSError):
            await writer.wait_closed()
