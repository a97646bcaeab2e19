"""The server's ports: reserved before the model is loaded, open when the server can answer."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
FEW = 64  # So many connections wait at the port of Wyoming; Home Assistant opens one at a time.
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

    return await _bound(connection, PortAddress("HOST", config.host, "PORT", config.port), BACKLOG)


async def reserve_wyoming(
    protocol: Callable[[], asyncio.BaseProtocol], config: Config
) -> asyncio.Server:
    """Bind WYOMING_HOST and WYOMING_PORT; connections are still refused.

    Raises:
        ConfigError: the address cannot be used.
    """
    return await _bound(protocol, _wyoming(config), FEW)


async def open_wyoming(listener: asyncio.Server, config: Config) -> None:
    """Accept connections of Home Assistant.

    Raises:
        ConfigError: another process has taken the port meanwhile.
    """
    with _setting_named(_wyoming(config)):
        await listener.start_serving()
    places = [each.getsockname()[:2] for each in listener.sockets]
    addresses = ", ".join(_url("tcp", *place) for place in places)
    log.info("Home Assistant (Wyoming) on %s", addresses)
    if config.client_keys and not all(_is_loopback(host) for host, _ in places):
        log.warning(
            "the Wyoming protocol knows no API keys: everybody who reaches %s can transcribe; set "
            "WYOMING_HOST to an address that only Home Assistant reaches",
            addresses,
        )


async def open_port(listener: asyncio.Server, config: Config) -> None:
    """Accept connections.

    Raises:
        ConfigError: another process has taken the port meanwhile.
    """
    with _setting_named(PortAddress("HOST", config.host, "PORT", config.port)):
        await listener.start_serving()
    for each in listener.sockets:
        _let_wait(each.fileno(), WAITING)
    places = [each.getsockname()[:2] for each in listener.sockets]
    port = places[0][1]
    addresses = ", ".join(_url("http", *place) for place in places)
    log.info("listening on %s", addresses)
    if config.page:  # browsers allow the microphone on this machine, or by https
        log.info(
            "the page: %s", _url("http", "localhost" if config.host == "*" else config.host, port)
        )
    if not config.client_keys and not all(_is_loopback(host) for host, _ in places):
        log.warning(
            "no API_KEY is set: everybody who reaches %s can use the server; set API_KEY or "
            "API_KEYS, or HOST=127.0.0.1 to serve this machine alone",
            addresses,
        )


@dataclass(frozen=True)
class PortAddress:
    """The address of a port, and the settings that hold it."""

    host_name: str
    host: str  # "*": all addresses
    port_name: str
    port: int


def _wyoming(config: Config) -> PortAddress:
    assert config.wyoming_port is not None
    if config.wyoming_host is None:
        return PortAddress("HOST", config.host, "WYOMING_PORT", config.wyoming_port)
    return PortAddress("WYOMING_HOST", config.wyoming_host, "WYOMING_PORT", config.wyoming_port)


async def _bound(
    protocol: Callable[[], asyncio.BaseProtocol], place: PortAddress, backlog: int
) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    host = None if place.host == "*" else place.host
    with _setting_named(place):
        return await loop.create_server(
            protocol, host, place.port, backlog=backlog, start_serving=False
        )


@contextlib.contextmanager
def _setting_named(place: PortAddress) -> Iterator[None]:
    """Turn the system's error about an address into one that names its settings."""
    try:
        yield
    except (OSError, UnicodeError) as error:
        host, port = f"{place.host_name}={place.host!r}", f"{place.port_name}='{place.port}'"
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


def _url(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
