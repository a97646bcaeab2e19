"""Refuses requests by their head, before a byte of their body is read."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from aiohttp import hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy

from asr.http.app_keys import EXPECTED, MEMORY, QUEUE_PLACE, RESERVATION, SCHEDULER
from asr.http.bodies.compression import encoding_of
from asr.http.dialect import Handler
from asr.http.queue_place import IsForLater, QueuePlace
from asr.http.sources import LENGTH_BYTES, body_limits, receive_at_most

BUFFER_BYTES = 1024 * 1024  # A body that is read holds about so many bytes; the rest is on disk.
REQUEST_BYTES = 256 * 1024  # Without its body, a request that is read holds about so many bytes.
FINISHED_BYTES = 256 * 1024  # A refused body with fewer bytes is read to its end.
LINGER_SECONDS = 10.0  # The rest of a larger one is read so long, because clients send it first.
LINGER_TOTAL = 500.0  # All connections together linger at most about so many seconds.
CONTINUE = "100-continue"  # The only expectation that there is: RFC 9110, section 10.1.1.

RequestFactory = Callable[..., web.BaseRequest]


def admitted(handler: Handler, is_for_later: bool | IsForLater = False) -> Handler:
    """Let `handler` read a request's body only where nothing in its head refuses it.

    Args:
        is_for_later: the request takes no room in the queue of those that are answered at once.
    """

    @functools.wraps(handler)
    async def admit(request: web.Request) -> web.StreamResponse:
        check_length(request)
        encoding_of(request)
        memory = request.app[MEMORY]
        place = request[QUEUE_PLACE] = QueuePlace(request.app[SCHEDULER], is_for_later)
        with (
            place.taken(request),
            memory.reserve(expected_bytes(request)) as reservation,
        ):
            request[RESERVATION] = reservation
            await _let_continue(request)
            return await handler(request)

    return admit


def check_length(request: web.Request) -> None:
    """Raise `TooLarge` where the body will have more than MAX_BODY_MB."""
    if request.content_length is not None:
        body_limits(request).check(request.content_length)


def expected_bytes(request: web.Request) -> int:
    """The memory that reading the request will take, as far as its head tells."""
    length = request.content_length
    return REQUEST_BYTES + (BUFFER_BYTES if length is None else min(length, BUFFER_BYTES))


@web.middleware
async def check_expectation(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what a request expects and no server knows."""
    expected = request.get(EXPECTED, CONTINUE)
    if expected.lower() != CONTINUE:
        raise web.HTTPExpectationFailed(
            text=f"the header Expect may only be {CONTINUE}: leave it out"
        )
    return await handler(request)


def without_expectation(make_request: RequestFactory) -> RequestFactory:
    """Keep the header Expect from aiohttp, which answers it before anything is checked."""

    def make(message: Any, *others: Any) -> web.BaseRequest:
        expected = message.headers.get(hdrs.EXPECT) if message.version >= (1, 1) else None
        if hdrs.EXPECT in message.headers:
            headers = CIMultiDict(message.headers)
            headers.popall(hdrs.EXPECT)
            message = message._replace(headers=CIMultiDictProxy(headers))
        request = make_request(message, *others)
        if expected:
            request[EXPECTED] = expected
        return request

    return make


async def close_unread(request: web.Request, response: web.StreamResponse) -> None:
    """Close the connection of a refused request whose body is not worth reading to its end."""
    if response.status < 400 or request.content.is_eof():
        return
    receive_at_most(request.transport, LENGTH_BYTES)  # what is passed over costs nothing
    length, received = request.content_length, request.content.total_bytes
    is_withheld = EXPECTED in request and received == 0  # and the next request may come instead
    if not is_withheld and length is not None and length - received <= FINISHED_BYTES:
        return
    response.force_close()
    response.headers[hdrs.CONNECTION] = "close"
    crowd = len(request.protocol._manager._connections) if request.protocol._manager else 1
    linger = 0.0 if is_withheld else min(LINGER_SECONDS, LINGER_TOTAL / max(1, crowd))
    request.protocol._lingering_time = linger


async def _let_continue(request: web.Request) -> None:
    """Tell a client that waits for it to send the body."""
    if EXPECTED in request:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
