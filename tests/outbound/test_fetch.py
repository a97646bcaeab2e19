"""Fetching by URL: which addresses are public, what is pinned, and what ends a download."""

from __future__ import annotations

import asyncio
import errno
import gzip
import re

import pytest
from aiohttp import web

from asr.errors import (
    AsrError,
    BadUrl,
    FetchFailed,
    FetchTimeout,
    NotFound,
    OutOfResources,
    TooLarge,
)
from asr.outbound.fetch import FetchLimits, Outbound, shown
from tests.conftest import free_port
from tests.support.clock import Clock
from tests.support.origin import Names, Origin, fetched


async def test_a_private_server_is_fetched_where_that_is_allowed(origin: Origin) -> None:
    url = f"http://127.0.0.1:{origin.port}/a.wav"
    assert await fetched(url, allow_private=True) == b"sound"
    assert await fetched(f"http://localhost:{origin.port}/", allow_private=True) == b"sound"


LOCATIONS = {
    "file:///etc/passwd": "not an http",
    "ftp://127.0.0.1/a": "not an http",
    "data:audio/wav;base64,AAAA": "not an http",
    "http://[": "which is not a URL",
    "/loop": "redirects more than",
    "": "redirects more than",
}


@pytest.mark.parametrize("location", LOCATIONS)
async def test_a_redirect_that_leads_nowhere_good_is_refused(origin: Origin, location: str) -> None:
    async def redirect(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": location})

    origin.handlers["/loop"] = redirect
    with pytest.raises(BadUrl, match=LOCATIONS[location]):
        await fetched(f"http://127.0.0.1:{origin.port}/loop", allow_private=True)
    assert len(origin.seen) <= 6


@pytest.mark.usefixtures("as_public")
async def test_a_password_in_the_url_is_not_sent_to_another_host_nor_shown(origin: Origin) -> None:
    sent: list[str | None] = []

    async def elsewhere(request: web.Request) -> web.Response:
        sent.append(request.headers.get("Authorization"))
        target = f"http://other.example:{origin.port}/next"
        return web.Response(status=302, headers={"Location": target})

    async def missing(request: web.Request) -> web.Response:
        sent.append(request.headers.get("Authorization"))
        return web.Response(status=404)

    origin.handlers.update({"/a": elsewhere, "/next": missing})
    with pytest.raises(NotFound) as raised:
        await fetched(
            f"http://me:secret@first.example:{origin.port}/a?token=secret", Names(Origin.public)
        )
    assert sent[0] is not None
    assert sent[1] is None
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://me:se@cret@host/p?token=secret#x", "https://host/…"),
        ("https://host.example:8443/bot/secret/a.mp3", "https://host.example:8443/…"),
        ("https://host?X-Amz-Signature=secret", "https://host/…"),
        ("http://[::1]:80/secret", "http://[::1]:80/…"),
        ("http://host.example", "http://host.example"),
        ("https://user:sec/ret@host/x", "https://…"),
        ("https://user:1/secret@host/x", "https://…"),
        ("https://ho st/secret", "https://…"),
        ("host.example/secret", "…"),
        ("data:audio/wav;base64,secret", "data:…"),
        ("/secret", "…"),
    ],
)
def test_nothing_of_a_url_is_shown_but_where_it_leads(url: str, expected: str) -> None:
    assert shown(url) == expected


async def test_an_endless_body_is_refused_while_it_arrives(origin: Origin) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"\0" * 65_536)

    origin.handlers["/endless"] = endless
    with pytest.raises(TooLarge, match="MAX_BODY_MB=1"):
        await fetched(f"http://127.0.0.1:{origin.port}/endless", allow_private=True)


async def test_a_body_that_announces_too_much_is_not_read(origin: Origin) -> None:
    async def large(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(2**40)})
        await response.prepare(request)
        await asyncio.Event().wait()
        return response

    origin.handlers["/large"] = large
    with pytest.raises(TooLarge):
        await fetched(f"http://127.0.0.1:{origin.port}/large", allow_private=True)


async def test_a_body_that_unpacks_to_too_much_is_refused(origin: Origin) -> None:
    async def bomb(_: web.Request) -> web.Response:
        packed = gzip.compress(b"\0" * 2**25)
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    origin.handlers["/bomb"] = bomb
    with pytest.raises(TooLarge):
        await fetched(f"http://127.0.0.1:{origin.port}/bomb", allow_private=True)


@pytest.mark.parametrize("sends_headers", [True, False])
async def test_a_server_that_stalls_is_given_up(origin: Origin, sends_headers: bool) -> None:
    async def stalls(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if sends_headers:
            await response.prepare(request)
            await response.write(b"some")
        await asyncio.Event().wait()
        return response

    origin.handlers["/slow"] = stalls
    with pytest.raises(FetchTimeout, match=r"FETCH_TIMEOUT_S=0\.3"):
        await fetched(f"http://127.0.0.1:{origin.port}/slow", allow_private=True, timeout_s=0.3)


async def test_a_reader_that_takes_its_time_does_not_use_up_the_servers(
    origin: Origin, clock: Clock
) -> None:
    async def body(_: web.Request) -> web.Response:
        return web.Response(body=b"\0" * 2**20)

    origin.handlers["/large"] = body
    outbound = Outbound(FetchLimits(2**21, 20, True))
    await outbound.open()
    received = 0
    async for data in outbound.fetch(f"http://127.0.0.1:{origin.port}/large"):
        if not received:
            clock.advance(60)  # longer than FETCH_TIMEOUT_S: a busy model does this
        received += len(data)
    assert received == 2**20
    await outbound.close()


ANSWERS = {400: BadUrl, 401: BadUrl, 403: BadUrl, 404: NotFound, 410: NotFound, 204: BadUrl}


@pytest.mark.parametrize("status", [*ANSWERS, 500, 503])
async def test_an_answer_without_audio_is_an_error_that_names_it(
    origin: Origin, status: int
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status)

    origin.handlers["/x"] = answer
    with pytest.raises(ANSWERS.get(status, FetchFailed), match=str(status)):
        await fetched(f"http://127.0.0.1:{origin.port}/x", allow_private=True)


async def test_a_server_that_breaks_off_is_a_failed_fetch(origin: Origin) -> None:
    async def breaks(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"some")
        assert request.transport is not None
        request.transport.abort()
        return response

    origin.handlers["/broken"] = breaks
    with pytest.raises(FetchFailed, match="its server closed the connection early"):
        await fetched(f"http://127.0.0.1:{origin.port}/broken", allow_private=True)


async def test_a_closed_port_and_a_server_without_tls_are_reported_in_plain_words(
    origin: Origin,
) -> None:
    closed = free_port()
    for url, reason in (
        (f"https://127.0.0.1:{closed}/a", r"accepts no connection \(Connection refused\)"),
        (f"https://127.0.0.1:{origin.port}/a", "offers no TLS"),
    ):
        with pytest.raises(FetchFailed, match=reason) as raised:
            await fetched(url, allow_private=True)
        assert not re.search(r"ssl:|Connect call|Errno|\[", str(raised.value))


async def test_a_server_that_does_not_speak_http_is_a_failed_fetch() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(FetchFailed):
        await fetched(f"http://127.0.0.1:{port}/", allow_private=True)
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    "host", ["a..b", "a" * 300, "a" * 64 + ".example", "xn--a", "ex ample", "2130706433", "127.1"]
)
async def test_a_host_that_cannot_be_a_name_is_the_callers_mistake(host: str) -> None:
    for allow_private in (False, True):
        with pytest.raises(AsrError) as raised:
            await fetched(f"http://{host}/x", allow_private=allow_private)
        assert raised.value.status in {400, 403}


async def test_a_socket_that_cannot_be_opened_now_is_worth_another_try(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*address: object) -> None:  # noqa: ARG001
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Outbound, "_socket", fail)
    with pytest.raises(OutOfResources, match="too many open files") as refused:
        await fetched(f"http://127.0.0.1:{origin.port}/a.wav", allow_private=True)
    assert 5 <= (refused.value.retry_after or 0) <= 7.5
