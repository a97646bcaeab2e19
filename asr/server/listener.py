"""The server's port: reserved before the model is loaded, open when the server can answer."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import web

from asr.config import Config
from asr.errors import ConfigError, Failure
from asr.http.app_keys import DIALECTS
from asr.http.dialect import dialect_of
from asr.http.openapi import Json

log = logging.getLogger(__name__)

BACKLOG = 128  # The system keeps this many connections that the server has not accepted yet.
MESSAGE_CHARS = 300  # A parser's message is cut here, because it may quote what was sent.


async def reserve(runner: web.AppRunner, config: Config) -> asyncio.Server:
    """Bind HOST and PORT; connections are still refused.

    Raises:
        ConfigError: the address cannot be used.
    """
    loop = asyncio.get_running_loop()
    problem = dialect_of("", runner.app[DIALECTS]).problem  # no path is known that would tell
    no_log: Any = None  # of each request: there is a line of our own, aiohttp's types forget it

    def connection() -> Connection:
        assert runner.server is not None
        return Connection(runner.server, problem, loop=loop, access_log=no_log)

    host = None if config.host == "*" else config.host
    with _setting_named(config):
        return await loop.create_server(
            connection, host, config.port, backlog=BACKLOG, start_serving=False
        )


async def open_port(listener: asyncio.Server, config: Config) -> None:
    """Accept connections.

    Raises:
        ConfigError: another process has taken the port meanwhile.
    """
    with _setting_named(config):
        await listener.start_serving()
    addresses = [_url(*each.getsockname()[:2]) for each in listener.sockets]
    log.info("listening on %s", ", ".join(addresses))


class Connection(web.RequestHandler):
    """A caller's connection; bytes that are not HTTP are answered as JSON, too."""

    def __init__(
        self, server: web.Server, problem: Callable[[Failure], Json], **options: Any
    ) -> None:
        super().__init__(server, **options)
        self._problem = problem

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what no handler saw; the connection ends with it."""
        super().handle_error(request, status, exc, message)  # logs it
        reason = " ".join((message or "it cannot be parsed").split())[:MESSAGE_CHARS]
        failure = Failure.of(RuntimeError(reason))
        if status == 400:
            failure = Failure(400, "bad_request", f"this is not an HTTP request: {reason}")
        response = web.json_response(
            self._problem(failure), status=status, headers={"X-Request-ID": uuid.uuid4().hex}
        )
        response.force_close()
        return response


@contextlib.contextmanager
def _setting_named(config: Config) -> Iterator[None]:
    """Turn the system's error about an address into one that names HOST or PORT."""
    try:
        yield
    except (OSError, UnicodeError) as error:
        host, port = f"HOST={config.host!r}", f"PORT='{config.port}'"
        why = str(getattr(error, "strerror", "not a host name")).rpartition(": ")[2].lower()
        message = f"{host}, {port} cannot be used: {why}"
        if isinstance(error, socket.gaierror | UnicodeError) or error.errno == errno.EADDRNOTAVAIL:
            message = (
                f"{host} is not an address of this machine: {why}; use one of its addresses, or *"
            )
        elif error.errno == errno.EADDRINUSE:
            message = f"{port}: {why}; stop the program that uses it, or choose another port"
        raise ConfigError(message) from error


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
