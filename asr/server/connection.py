"""Answers what reaches no handler, and callers that have closed their sending side."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from aiohttp import HttpVersion11, StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import LineTooLong

from asr.errors import Failure
from asr.http.admission import without_expectation
from asr.http.dialect import Dialect, dialect_of
from asr.http.sources import LENGTH_BYTES, receive_at_most
from asr.server.connection_pool import ConnectionPool
from asr.server.middleware import SAFE_HEADERS, refusal
from asr.server.watched_connection import WatchedConnection, bytes_unread

log = logging.getLogger(__name__)

MESSAGE_CHARS = 300  # A parser's message is cut here.
QUOTED_BYTES = re.compile(r":?\s*(\n|\bb['\"])")  # From here on it quotes what was sent.
TOO_LONG = (
    "the request line, with its query, or a header has more than {limit} bytes: send less, or send "
    "the parameters in the body, as JSON or a form"
)
HEALTH_CHECKS = {"/hc", "/health"}  # They are answered when all connections are in use.
RETRY_SECONDS = (1, 5)  # A caller that finds all in use is told to wait so long, at random.
_Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"  # Callers pass over it: RFC 9110 §15.2.
PROBE_SECONDS = (0.05, 0.2, 1.0, 10.0)  # A half-closed caller is asked so long after the last time.
REST_SECONDS = 2  # A caller who sends what is no HTTP may go on for so long.
OLD_SECONDS = 2  # A half-closed caller of HTTP/1.0, which has no 100, is answered within this.


class Connection(WatchedConnection):
    """A caller's connection.

    Whatever fails outside the app's middleware is answered in the dialect's shape, as JSON.
    A caller that closes its sending side after a whole request gets its answer. The system
    cannot tell it from one that has left until something is sent: so `100 Continue` is, now and
    then. A system whose caller has left refuses it, which ends the connection and its request.
    """

    def __init__(
        self, server: web.Server, pool: ConnectionPool, dialects: Sequence[Dialect], **options: Any
    ) -> None:
        super().__init__(server, **options)
        self._pool = pool
        self._dialects = dialects
        self._make_request = without_expectation(server.request_factory)
        self._request_factory = self._begun
        self._kept: asyncio.Transport | None = None  # until the connection is lost
        self._has_room = True  # for any request, not for health checks alone
        self._payload: StreamReader | None = None  # of the request that is being answered
        self._version = HttpVersion11
        self._half_closed = False
        self._is_broken = False  # something came that is no HTTP: what follows has no meaning
        self._rest: asyncio.Future[None] | None = None  # done when no more of that comes
        self._timer: asyncio.TimerHandle | None = None
        self.head_since: float | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing has come since the last answer, and that one is sent.

        A busy server may not have read yet what has come.
        """
        waits = self._request_count == 0 or self._waiter is not None or not self._has_room
        is_sent = self._kept is None or not self._kept.get_write_buffer_size()
        is_between = waits and is_sent and self._payload is None and not self._messages
        return is_between and not (self._kept is not None and bytes_unread(self._kept))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        receive_at_most(transport)
        super().connection_made(transport)
        self._kept = cast(asyncio.Transport, transport)
        self.head_since = self._loop.time()
        self._has_room = self._pool.enter(self, self._kept)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._pool.leave(self)
        if self._timer is not None:
            self._timer.cancel()
        self._end_rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._rest is not None:
            return
        if self._waiter is not None and self.head_since is None:
            self.head_since = self._loop.time()
        super().data_received(data)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's own type
        """Keep the connection of a caller that has sent a whole request and no more."""
        self._end_rest()
        if self._half_closed:
            return True
        payloads = [self._payload, *(payload for _, payload in self._messages)]
        is_whole = all(payload is not None and payload.is_eof() for payload in payloads)
        if is_whole and self._is_answerless():
            self._half_closed = True
            self._close_after_last()
            self._ask(0)
        return self._half_closed

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what no handler saw; the connection ends with it."""
        super().handle_error(request, status, exc, message)  # logs it
        reason = QUOTED_BYTES.split(message or "it cannot be parsed", 1)[0].strip()[:MESSAGE_CHARS]
        failure = Failure.of(RuntimeError(reason))
        if status == 400:
            self._is_broken = True
            failure = Failure(400, "bad_request", f"this is not an HTTP request: {reason}")
        if isinstance(exc, LineTooLong):
            failure = Failure(431, "head_too_large", TOO_LONG.format(limit=exc.args[1]))
        return self._problem(request, failure, failure.status if status == 400 else status)

    def _begun(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        """Make the request whose turn has come."""
        self._payload, self._version, self.head_since = payload, message.version, None
        self._pool.busy(self)
        if self._half_closed:
            self._close_after_last()
            self._later(PROBE_SECONDS[0], self._ask, 1)
        return self._make_request(message, payload, protocol, writer, task)

    async def _handle_request(
        self, request: web.BaseRequest, start_time: float | None, request_handler: _Handler
    ) -> tuple[web.StreamResponse, bool]:
        try:
            handler = self._guarded(request_handler)
            answered = await super()._handle_request(request, start_time, handler)
            if self._is_broken:
                await self._discard_rest()
            return answered
        finally:
            self._payload = None
            self._pool.answered(self)

    async def _discard_rest(self) -> None:
        """Pass over what a caller still sends after something that is no HTTP.

        The system would take the answer away from it, if the connection were closed before that.
        """
        if self.transport is None:
            return
        self._rest = self._loop.create_future()
        receive_at_most(self.transport, LENGTH_BYTES)
        self.transport.write_eof()
        await asyncio.wait([self._rest], timeout=REST_SECONDS)

    def _end_rest(self) -> None:
        if self._rest is not None and not self._rest.done():
            self._rest.set_result(None)

    def _guarded(self, handler: _Handler) -> _Handler:
        """The handler, with every failure of the HTTP library in the dialect's shape."""

        async def guarded(request: web.BaseRequest) -> web.StreamResponse:
            if not self._has_room and request.path not in HEALTH_CHECKS:
                return self._problem(request, self._all_in_use())
            try:
                response = await handler(request)
            except web.HTTPException as error:
                if error.status < 400:
                    raise
                return self._problem(request, refusal(request, error))
            if not self._has_room:
                response.force_close()
            return response

        return guarded

    def _all_in_use(self) -> Failure:
        log.warning("all %d connections are in use: a request is refused", self._pool.limit)
        message = (
            "all connections of this server are in use: try again after Retry-After seconds, "
            "or send the request to another server"
        )
        wait = random.randint(*RETRY_SECONDS)  # else all callers come back at the same moment
        return Failure(503, "too_many_connections", message, retry_after=wait)

    def _problem(
        self, request: web.BaseRequest, failure: Failure, status: int | None = None
    ) -> web.Response:
        headers = {"X-Request-ID": uuid.uuid4().hex, **SAFE_HEADERS}
        if failure.retry_after is not None:
            headers["Retry-After"] = str(failure.retry_after)
        if self._is_broken:  # what is not parsed gets the path "/"
            problem = dialect_of("", self._dialects).problem
        else:
            problem = dialect_of(request.path, self._dialects, request).problem
        response = web.json_response(
            problem(failure), status=status or failure.status, headers=headers
        )
        response.force_close()
        return response

    def _is_answerless(self) -> bool:
        """Whether a request is being answered and nothing of its answer is sent yet."""
        request = self._current_request
        is_sent = request is not None and request.writer.output_size > 0
        return self._payload is not None and not is_sent

    def _close_after_last(self) -> None:
        if not self._messages:
            self.close()

    def _ask(self, times: int) -> None:
        """Find out whether a half-closed caller has left, and ask again later."""
        if not self._is_answerless() or self.transport is None:
            return
        if self._version < HttpVersion11:
            self._later(OLD_SECONDS, self._give_up)
            return
        self.transport.write(CONTINUE)
        self._later(PROBE_SECONDS[min(times, len(PROBE_SECONDS) - 1)], self._ask, times + 1)

    def _later(self, seconds: float, what: Callable[..., None], *arguments: int) -> None:
        """Do `what` after so many seconds, and nothing that was to be done before."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, what, *arguments)

    def _give_up(self) -> None:
        if self._is_answerless():
            self.force_close()
