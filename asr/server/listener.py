"""The server's port: reserved before the model is loaded, open when the server can answer."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import socket
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from asr.config.config import Config
from asr.errors import ConfigError
from asr.http.app_keys import DIALECTS
from asr.http.sources import PARSER_SETTINGS
from asr.server.connection import Connection
from asr.server.connection_pool import ConnectionPool

log = logging.getLogger(__name__)

BACKLOG = 128  # The server accepts at most this many connections before it does other work.
WAITING = 4096  # The system keeps this many that are not accepted yet; it resets those beyond.


async def reserve(runner: web.AppRunner, config: Config, pool: ConnectionPool) -> asyncio.Server:
    """Bind HOST and PORT; connections are still refused.

    Raises:
        ConfigError: the address cannot be used.
    """
    loop = asyncio.get_running_loop()
    no_log: Any = None  # of each request: there is a line of our own, aiohttp's types forget it
    options = {
        "send_timeout_s": config.send_timeout_s,
        "keepalive_timeout": config.keepalive_timeout_s,
        "access_log": no_log,
        **PARSER_SETTINGS,
    }

    def connection() -> Connection:
        assert runner.server is not None
        return Connection(runner.server, pool, runner.app[DIALECTS], loop=loop, **options)

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
    for each in listener.sockets:
        _let_wait(each.fileno(), WAITING)
    places = [each.getsockname()[:2] for each in listener.sockets]
    port = places[0][1]
    addresses = ", ".join(_url(*place) for place in places)
    log.info("listening on %s", addresses)
    if config.page:  # browsers allow the microphone on this machine, or by https
        log.info("the page: %s", _url("localhost" if config.host == "*" else config.host, port))
    if not config.client_keys and not all(_is_loopback(host) for host, _ in places):
        log.warning(
            "no API_KEY is set: everybody who reaches %s can use the server; set API_KEY or "
            "API_KEYS, or HOST=127.0.0.1 to serve this machine alone",
            addresses,
        )


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


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


def _let_wait(descriptor: int, count: int) -> None:
    """Let `count` connections wait at a port, however few asyncio accepts at a time."""
    with socket.socket(fileno=os.dup(descriptor)) as port:
        port.listen(count)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
