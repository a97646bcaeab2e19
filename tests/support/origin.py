"""Run a server to fetch from, and resolve names as a test wants."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from asr.outbound.address_guard import is_public
from asr.outbound.fetch import FetchLimits, Outbound

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Names(AbstractResolver):
    """Resolves each name to the next of the addresses; the last one stays."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked: list[str] = []

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002
    ) -> list[ResolveResult]:
        address = self.addresses[min(len(self.asked), len(self.addresses) - 1)]
        self.asked.append(host)
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=0)
        ]

    async def close(self) -> None:
        pass


class Origin:
    """Serves on two loopback addresses; one stands for the open internet."""

    public, private = "127.0.0.2", "127.0.0.1"

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.handlers: dict[str, Handler] = {}
        self.port = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        socket_ = request.transport.get_extra_info("sockname") if request.transport else ("?",)
        self.seen.append(f"{socket_[0]}{request.path}")
        handler = self.handlers.get(request.path)
        return await handler(request) if handler else web.Response(body=b"sound")


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Origin]:
    origin = Origin()
    app = web.Application()
    app.router.add_get("/{path:.*}", origin.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    first = web.TCPSite(runner, origin.private, 0)
    await first.start()
    origin.port = runner.addresses[0][1]
    await web.TCPSite(runner, origin.public, origin.port).start()
    yield origin
    await runner.cleanup()


async def fetched(
    url: str,
    resolver: AbstractResolver | None = None,
    max_bytes: int = 2**20,
    timeout_s: float = 20,
    allow_private: bool = False,
) -> bytes:
    outbound = Outbound(FetchLimits(max_bytes, timeout_s, allow_private), resolver)
    await outbound.open()
    try:
        return b"".join([data async for data in outbound.fetch(url)])
    finally:
        await outbound.close()


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with serving() as origin:
        yield origin


@pytest.fixture
def as_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count 127.0.0.2 as the open internet, and judge all other addresses as usual."""

    def judged(address: Any) -> bool:
        return str(address) == Origin.public or is_public(address)

    for module in ("fetch", "address_guard"):
        monkeypatch.setattr(f"asr.outbound.{module}.is_public", judged)
