"""The address of the server: taken before the model is loaded, open when it can answer."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from asr.config import Config
from asr.errors import ConfigError
from asr.server.connection import Connection

log = logging.getLogger(__name__)

BACKLOG = 128  # connections that wait to be taken


async def reserve(runner: web.AppRunner, config: Config) -> asyncio.Server:
    """HOST and PORT, which are nobody else's from now on and refuse connections still.

    Raises:
        ConfigError: they cannot be listened on.
    """
    loop = asyncio.get_running_loop()
    no_log: Any = None  # of each request: there is a line of our own, aiohttp's types forget it

    def connection() -> Connection:
        assert runner.server is not None
        return Connection(runner.server, loop=loop, access_log=no_log)

    host = None if config.host == "*" else config.host
    with _told(config):
        return await loop.create_server(
            connection, host, config.port, backlog=BACKLOG, start_serving=False
        )


async def listen(listener: asyncio.Server, config: Config) -> None:
    """Take connections.

    Raises:
        ConfigError: somebody else listens there by now.
    """
    with _told(config):
        await listener.start_serving()
    addresses = [_url(*each.getsockname()[:2]) for each in listener.sockets]
    log.info("listening on %s", ", ".join(addresses))


@contextlib.contextmanager
def _told(config: Config) -> Iterator[None]:
    """Name the setting because of which an address cannot be listened on."""
    try:
        yield
    except (OSError, UnicodeError) as error:
        host, port = f"HOST={config.host!r}", f"PORT='{config.port}'"
        why = str(getattr(error, "strerror", "not a host name")).rpartition(": ")[2].lower()
        told = f"{host}, {port} cannot be listened on: {why}"
        if isinstance(error, socket.gaierror | UnicodeError) or error.errno == errno.EADDRNOTAVAIL:
            told = f"{host} is no address of this machine: {why}; write one of its own, or *"
        elif error.errno == errno.EADDRINUSE:
            told = f"{port}: {why}; end what listens there or choose another port"
        raise ConfigError(told) from error


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
