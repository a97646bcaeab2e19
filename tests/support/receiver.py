"""Run a receiver of webhooks that fails in every way that a test wants."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

import pytest
from aiohttp import web

from tests.conftest import PATIENCE_SECONDS
from tests.support.origin import Origin

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class Receiver:
    """Gives each request the next of its answers; the last one stays.

    It listens on two loopback addresses; one stands for the open internet.
    """

    def __init__(self) -> None:
        self.answers: list[Answer] = [status(204)]
        self.received: list[Received] = []
        self.left = 0  # requests whose sender has left before the answer's end
        self.port = 0
        self._news = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"http://{Origin.private}:{self.port}/hook"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        number = len(self.received)
        async with self._news:
            self.received.append(Received(request.path, request.headers.copy(), body))
            self._news.notify_all()
        try:
            return await self.answers[min(number, len(self.answers) - 1)](request)
        except (asyncio.CancelledError, ConnectionError):
            async with self._news:
                self.left += 1
                self._news.notify_all()
            raise

    async def until(self, claim: Callable[[Receiver], object]) -> None:
        """Wait until a claim about this receiver holds; it is checked at each request."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._news:
            await self._news.wait_for(lambda: claim(self))

    async def arrived(self, count: int) -> list[Received]:
        """Wait for so many requests."""
        await self.until(lambda receiver: len(receiver.received) >= count)
        return self.received


def status(code: int, **headers: str) -> Answer:
    """An answer without a body; `Retry_After` is the header Retry-After."""

    async def answer(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=code, headers=named)

    return answer


def redirect(location: str, code: int = 307) -> Answer:
    return status(code, Location=location)


async def hang(_: web.Request) -> web.StreamResponse:
    """Take the request and never answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def break_off(request: web.Request) -> web.StreamResponse:
    """Take the request and close the connection."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def slow_body(request: web.Request) -> web.StreamResponse:
    """Say 200 and begin a body that goes no further."""
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"so")
    await asyncio.Event().wait()
    return response


async def endless_body(request: web.Request) -> web.StreamResponse:
    """Say 200 and send a body without end."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"\0" * 65_536)


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", receiver.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, Origin.private, 0).start()
    receiver.port = runner.addresses[0][1]
    await web.TCPSite(runner, Origin.public, receiver.port).start()
    yield receiver
    await runner.cleanup()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver
