"""Fetches audio by URL and posts, with an address guard and limits on time and bytes."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.connector import AddrInfoType
from yarl import URL

from asr.concurrency import WaitBudget
from asr.errors import BadUrl, FetchFailed, FetchTimeout, Forbidden, NotFound, TooLarge
from asr.outbound.address_guard import GuardedResolver, NotPublic, is_public, parsed_address
from asr.outbound.lookups import Lookups
from asr.outbound.short_reads import ShortReads, read_faster
from asr.resources.exhaustion import run_out
from asr.text import quoted

MAX_REDIRECTS = 5  # One redirect more is an error.
CONNECT_SECONDS = 10  # A server that has not accepted a connection for so long is given up.
URL_CHARS = 16_384  # A longer URL is refused.
SHOWN_CHARS = 200  # A message shows at most so many characters of a URL's host.
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}:(//)?")
HOST = re.compile(r"([\w.~%-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")
# RFC 1123 and RFC 5890; the underscore is not theirs, but names within networks have it.
HOST_NAME = re.compile(r"(?=.{1,254}$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
READ_BYTES = 64 * 1024  # A download waits where twice as many bytes are unread.
REDIRECTS = {301, 302, 303, 307, 308}


@dataclass(frozen=True)
class FetchLimits:
    """Limits of one download, and whether private addresses are allowed."""

    max_bytes: int
    timeout_s: float  # seconds for the whole download
    allow_private: bool


class Outbound:
    """Downloads and posts over HTTP within `limits`; opened and closed with the app."""

    def __init__(self, limits: FetchLimits, resolver: AbstractResolver | None = None) -> None:
        self._limits = limits
        self._lookups = Lookups()
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        resolver = self._resolver or self._lookups.resolver()
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
            read_bufsize=READ_BYTES,
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
        self._lookups.close()

    def _socket(self, address: AddrInfoType) -> socket.socket:
        """Open the socket for `address`, after a last check that it is public."""
        family, kind, protocol, _, place = address
        if not self._limits.allow_private and not is_public(parsed_address(str(place[0]))):
            raise NotPublic(place[0])
        return ShortReads(family, kind, protocol)

    async def fetch(self, url: str) -> AsyncGenerator[bytes]:
        """Yield the bytes at `url`, as they arrive.

        Raises:
            BadUrl, Forbidden, NotFound, TooLarge: the caller can correct it.
            FetchFailed, FetchTimeout: the far server cannot be reached or closes the connection.
        """
        budget = WaitBudget(self._limits.timeout_s)
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with budget.waiting():
                    response = await self._get(url, stack)
                self._check_size(response.content_length or 0)
                received = 0
                while data := await _next(response, budget):
                    received += len(data)
                    self._check_size(received)
                    yield data
        except aiohttp.ServerTimeoutError as error:
            raise FetchTimeout(
                f"the server of {shown(url)} accepts no connection: check its name and port"
            ) from error
        except TimeoutError as error:
            raise FetchTimeout(
                f"{shown(url)} did not arrive within FETCH_TIMEOUT_S={self._limits.timeout_s:g} "
                "seconds: use a faster server, or send the bytes"
            ) from error
        except aiohttp.ClientError as error:
            raise _failure(url, error) from error

    async def _get(self, url: str, stack: contextlib.AsyncExitStack) -> aiohttp.ClientResponse:
        assert self._session is not None
        for _ in range(MAX_REDIRECTS + 1):
            target = checked_url(url, self._limits.allow_private)
            response = await stack.enter_async_context(
                self._session.get(target, allow_redirects=False)
            )
            if response.status not in REDIRECTS:
                read_faster(response)
                return _expect_ok(url, response)
            url = _redirected(url, response)
            response.close()
        raise BadUrl(f"the URL redirects more than {MAX_REDIRECTS} times: give the final address")

    @contextlib.asynccontextmanager
    async def post(
        self, url: str, headers: Mapping[str, str], body: BinaryIO
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send `body` to `url` once, and give the answer; a redirect is an answer too.

        Raises:
            BadUrl, Forbidden: nothing can be sent there.
            aiohttp.ClientError: the far server cannot be reached; `failure_reason` says why.
        """
        assert self._session is not None
        async with self._session.post(
            checked_url(url, self._limits.allow_private),
            data=body,
            headers=headers,
            allow_redirects=False,
        ) as response:
            yield response

    def _check_size(self, received: int) -> None:
        if received > self._limits.max_bytes:
            raise TooLarge(
                f"the file at the URL has {received} bytes or more, the limit is "
                f"MAX_BODY_MB={self._limits.max_bytes / 2**20:g}"
            )


async def _next(response: aiohttp.ClientResponse, budget: WaitBudget) -> bytes:
    async with budget.waiting():
        return await response.content.readany()


def checked_url(url: str, allow_private: bool) -> URL:
    """Parse and check a URL; the resolver checks host names, this checks bare addresses.

    Raises:
        BadUrl, Forbidden: nothing can be requested there.
    """
    if len(url) > URL_CHARS:
        raise BadUrl(f"the URL has {len(url)} characters, the limit is {URL_CHARS}")
    try:
        target = URL(url)
        host, port = target.host, target.port
    except ValueError as error:
        raise BadUrl(f"{quoted(shown(url))} is not a URL: check its spelling") from error
    if target.scheme not in {"http", "https"} or not host or not port:
        raise BadUrl(
            f"{quoted(shown(url))} is not an http or https URL with a host: write https://host/path"
        )
    try:
        address = parsed_address(host)
    except ValueError:
        if not HOST_NAME.fullmatch(target.raw_host or ""):
            raise BadUrl(
                f"{quoted(shown(url))} has a host that no server can have: check its spelling"
            ) from None
        return target
    if not allow_private and not is_public(address):
        raise not_public(url)
    return target


def shown(url: str) -> str:
    """Shorten a URL for messages and logs: only where it leads.

    User and password, path and query may each be or hold a secret, so they are left out. So is
    what cannot be told from them: a password with a slash looks like a host and its path.
    """
    scheme = SCHEME.match(url)
    if scheme is None or not scheme[1]:
        return f"{scheme[0] if scheme else ''}…"
    place, _, rest = re.sub(r"[/?#\\]", "\0", url[scheme.end() :], count=1).partition("\0")
    host = place.rpartition("@")[2]
    if not HOST.fullmatch(host) or (":" in place and "@" in rest):
        return f"{scheme[0]}…"
    return f"{scheme[0]}{host[:SHOWN_CHARS]}{'/…' if rest else ''}"


def _redirected(url: str, response: aiohttp.ClientResponse) -> str:
    location = response.headers.get("Location", "")
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise BadUrl(
            f"{shown(url)} redirects to {quoted(shown(location))}, which is not a URL: "
            "give the final address"
        ) from error


def _expect_ok(url: str, response: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
    status = response.status
    if status in {404, 410}:
        raise NotFound(f"there is nothing at {shown(url)}: its server answered {status}")
    if status >= 500:
        raise FetchFailed(f"the server of {shown(url)} answered {status}: try again later")
    if status != 200:
        raise BadUrl(
            f"the server of {shown(url)} answered {status}: give a URL that needs no login"
        )
    return response


def not_public(url: str) -> Forbidden:
    """The error of a URL that leads to no address on the open internet."""
    return Forbidden(
        f"{shown(url)} leads to an address that is not public: use a public one, "
        "or set ALLOW_PRIVATE_URLS=1 on the server"
    )


def _failure(url: str, error: aiohttp.ClientError) -> Exception:
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, NotPublic):
            return not_public(url)
        if (exhausted := run_out(error.os_error, f"{shown(url)} cannot be fetched")) is not None:
            return exhausted
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return BadUrl(f"the host of {shown(url)} is not known: check its name")
    if isinstance(error, aiohttp.InvalidURL):
        return BadUrl(f"{quoted(shown(url))} is not a URL that can be fetched: check its host")
    broke_off = isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError)
    remedy = ": try again, or send the bytes" if broke_off else ""
    return FetchFailed(f"{shown(url)} cannot be fetched: {failure_reason(error)}{remedy}")


def failure_reason(error: aiohttp.ClientError) -> str:
    """Say what the far server did, without the HTTP library's words."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or "it is not valid"
        return f"its server's certificate is not trusted here ({reason})"
    if isinstance(error, aiohttp.ClientSSLError):
        return "its server offers no TLS that works here: try http instead of https"
    if isinstance(error, aiohttp.ClientConnectorError):
        code = error.os_error.errno
        reason = os.strerror(code) if code and code > 0 else "no route to it"
        return f"its server accepts no connection ({reason}): check its name and port"
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError):
        return "its server closed the connection early"
    if isinstance(error, aiohttp.ClientOSError) and error.errno:
        return f"its server closed the connection early ({os.strerror(error.errno)})"
    if isinstance(error, aiohttp.ClientResponseError):
        return error.message
    return type(error).__name__  # its text may hold the URL, and that a secret
