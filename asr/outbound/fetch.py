"""The only door out: fetch audio by URL, with an address guard and limits on time and bytes."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.connector import AddrInfoType
from yarl import URL

from asr.concurrency import WaitBudget
from asr.errors import BadUrl, FetchFailed, FetchTimeout, Forbidden, NotFound, TooLarge
from asr.outbound.address_guard import GuardedResolver, NotPublic, is_public, parsed_address

MAX_REDIRECTS = 5
CONNECT_SECONDS = 10
URL_CHARS = 16_384  # of the longest URL that is fetched
SHOWN_CHARS = 200  # of a URL in a message
REDIRECTS = {301, 302, 303, 307, 308}


@dataclass(frozen=True)
class FetchLimits:
    max_bytes: int
    timeout_s: float  # seconds for the whole download
    allow_private: bool


class Outbound:
    """Fetches over HTTP within `limits`; close it when the app ends."""

    def __init__(self, limits: FetchLimits, resolver: AbstractResolver | None = None) -> None:
        self._limits = limits
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        resolver = self._resolver or aiohttp.ThreadedResolver()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=GuardedResolver(resolver, self._limits.allow_private),
                socket_factory=self._socket,
                limit=0,
                use_dns_cache=False,
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            headers={"Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _socket(self, address: AddrInfoType) -> socket.socket:
        """The socket for `address`: the last gate, whatever way led to it."""
        family, kind, protocol, _, place = address
        if not self._limits.allow_private and not is_public(parsed_address(str(place[0]))):
            raise NotPublic(place[0])
        return socket.socket(family, kind, protocol)

    async def fetch(self, url: str) -> AsyncGenerator[bytes]:
        """The bytes that lie at `url`, as they arrive.

        Raises:
            BadUrl, Forbidden, NotFound, TooLarge: the caller can mend it.
            FetchFailed, FetchTimeout: the far server cannot be reached or breaks off.
        """
        patience = WaitBudget(self._limits.timeout_s)
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with patience.waiting():
                    response = await self._get(url, stack)
                self._check_size(response.content_length or 0)
                received = 0
                while data := await _next(response, patience):
                    received += len(data)
                    self._check_size(received)
                    yield data
        except aiohttp.ServerTimeoutError as error:
            raise FetchTimeout(
                f"the server of {shown(url)} takes no connection: check its name and port"
            ) from error
        except TimeoutError as error:
            raise FetchTimeout(
                f"{shown(url)} did not arrive within FETCH_TIMEOUT_S={self._limits.timeout_s:g} "
                "seconds: give a faster server, or send the bytes"
            ) from error
        except aiohttp.ClientError as error:
            raise _failure(url, error) from error

    async def _get(self, url: str, stack: contextlib.AsyncExitStack) -> aiohttp.ClientResponse:
        assert self._session is not None
        for _ in range(MAX_REDIRECTS + 1):
            target = self._checked(url)
            response = await stack.enter_async_context(
                self._session.get(target, allow_redirects=False)
            )
            if response.status not in REDIRECTS:
                return _expect_ok(url, response)
            url = _redirected(url, response)
            response.close()
        raise BadUrl(f"the URL redirects more than {MAX_REDIRECTS} times: give the final address")

    def _checked(self, url: str) -> URL:
        """The URL to dial; names are judged by the resolver, bare addresses here."""
        if len(url) > URL_CHARS:
            raise BadUrl(f"the URL has {len(url)} characters, the limit is {URL_CHARS}")
        try:
            target = URL(url)
            host, port = target.host, target.port
        except ValueError as error:
            raise BadUrl(f"{shown(url)!r} is not a URL: check how it is written") from error
        if target.scheme not in {"http", "https"} or not host or not port:
            raise BadUrl(f"{shown(url)!r} is not an http or https URL with a host")
        try:
            address = parsed_address(host)
        except ValueError:
            return target
        if not self._limits.allow_private and not is_public(address):
            raise _not_public(url)
        return target

    def _check_size(self, received: int) -> None:
        if received > self._limits.max_bytes:
            raise TooLarge(
                f"the file at the URL has {received} bytes or more, the limit is "
                f"MAX_BODY_MB={self._limits.max_bytes / 2**20:g}"
            )


async def _next(response: aiohttp.ClientResponse, patience: WaitBudget) -> bytes:
    async with patience.waiting():
        return await response.content.readany()


def shown(url: str) -> str:
    """The URL as messages and logs may have it: no password, no query, not endless."""
    return re.sub(r"(?<=//)[^/]*@", "", re.split(r"[?#]", url, maxsplit=1)[0])[:SHOWN_CHARS]


def _redirected(url: str, response: aiohttp.ClientResponse) -> str:
    location = response.headers.get("Location", "")
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise BadUrl(
            f"{shown(url)} redirects to {shown(location)!r}, no URL: give the final address"
        ) from error


def _expect_ok(url: str, response: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
    status = response.status
    if status in {404, 410}:
        raise NotFound(f"nothing lies at {shown(url)}: its server answered {status}")
    if status >= 500:
        raise FetchFailed(f"the server of {shown(url)} answered {status}: try again later")
    if status != 200:
        raise BadUrl(
            f"the server of {shown(url)} answered {status}: give a URL that needs no login"
        )
    return response


def _not_public(url: str) -> Forbidden:
    return Forbidden(
        f"{shown(url)} leads to an address that is not public; "
        "ALLOW_PRIVATE_URLS=1 on the server would allow it"
    )


def _failure(url: str, error: aiohttp.ClientError) -> Exception:
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, NotPublic):
            return _not_public(url)
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return BadUrl(f"the host of {shown(url)} is not known: check its name")
    if isinstance(error, aiohttp.InvalidURL):
        return BadUrl(f"{shown(url)!r} is not a URL that can be fetched: check its host")
    return FetchFailed(f"{shown(url)} cannot be fetched: {_reason(error)}")


def _reason(error: aiohttp.ClientError) -> object:
    """What the far server did, in words for people who do not know the HTTP library."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or "it is not valid"
        return f"its server's certificate is not trusted here ({reason})"
    if isinstance(error, aiohttp.ClientSSLError):
        return "its server speaks no TLS that is understood here: try http for https"
    if isinstance(error, aiohttp.ClientConnectorError):
        code = error.os_error.errno
        reason = os.strerror(code) if code and code > 0 else "no route to it"
        return f"its server takes no connection ({reason}): check its name and port"
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError):
        return "its server broke off: try again, or send the bytes"
    if isinstance(error, aiohttp.ClientOSError) and error.errno:
        return f"its server broke off ({os.strerror(error.errno)})"
    return error.message if isinstance(error, aiohttp.ClientResponseError) else error
