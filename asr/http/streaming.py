"""Send events while they are made, as Server-Sent Events or as JSON lines."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, replace

from aiohttp import web

from asr.concurrency import end_tasks
from asr.errors import AsrError, Failure
from asr.formats.events import Event
from asr.http.app_keys import CONFIG
from asr.http.responses import caller, log_request
from asr.transcription.scheduled_request import Timings

log = logging.getLogger(__name__)

EVENT_ID = "event_id"  # The key of an event's id, by which a client goes on after it.
# A failure within so many seconds is answered with its own status; and so is a later one, before
# any audio is decoded and the first heartbeat is due: a busy machine finds bad audio late.
FIRST_SECONDS = 1.0


@dataclass(frozen=True)
class Framing:
    """How events are written: the bytes around each one, and those of a heartbeat."""

    content_type: str
    before: bytes  # These bytes precede each event.
    after: bytes  # These bytes end it.
    heartbeat: bytes  # These bytes are sent when no event comes for long.
    has_ids: bool = False  # An event's EVENT_ID is not written with it, but before it.

    def frame(self, event: Event) -> bytes:
        if not self.has_ids:
            return self.before + json.dumps(event).encode() + self.after
        data = {name: value for name, value in event.items() if name != EVENT_ID}
        identity = f"id: {event[EVENT_ID]}\n".encode() if EVENT_ID in event else b""
        return identity + self.before + json.dumps(data).encode() + self.after


# https://html.spec.whatwg.org/multipage/server-sent-events.html: a colon opens a comment
SERVER_SENT_EVENTS = Framing("text/event-stream; charset=utf-8", b"data: ", b"\n\n", b": wait\n\n")
IDENTIFIED_EVENTS = replace(SERVER_SENT_EVENTS, has_ids=True)
JSON_LINES = Framing("application/x-ndjson", b"", b"\n", b'{"type": "heartbeat"}\n')


@dataclass(frozen=True)
class EventStream:
    """An answer that is sent event by event."""

    events: AsyncGenerator[Event]
    framing: Framing
    headers: Mapping[str, str]
    failure_event: Callable[[Failure], Event]  # the last event of a stream that fails


async def send(
    request: web.Request, stream: EventStream, timings: Timings | None, started: float
) -> web.StreamResponse:
    """Send each event when it comes, and a heartbeat when none comes for long.

    A failure after the first byte is sent as the last event. A stream that does not fail is
    logged with its `timings`, if it has any.

    Args:
        started: when the request began, by the monotonic clock.

    Raises:
        Exception: what the events raise while the status is still open.
    """
    framing = stream.framing
    response = web.StreamResponse(headers={**stream.headers, "Cache-Control": "no-store"})
    response.headers["Content-Type"] = framing.content_type
    response.headers["X-Accel-Buffering"] = "no"  # nginx would keep the events back
    pause = request.app[CONFIG].stream_heartbeat_s
    try:
        async with contextlib.aclosing(
            paced(stream.events, min(FIRST_SECONDS, pause), pause)
        ) as beats:
            is_first = True
            async for event in beats:
                is_undecided = event is None and timings is not None and not timings.audio
                is_first, was_first = False, is_first
                if was_first and is_undecided:
                    continue
                if not response.prepared:
                    await response.prepare(request)
                await response.write(framing.heartbeat if event is None else framing.frame(event))
    except ConnectionError:
        raise
    except Exception as error:  # the boundary: the caller must learn why the stream ends
        if not response.prepared:
            raise
        last = framing.frame(stream.failure_event(_logged(request, error)))
        with contextlib.suppress(ConnectionError):  # the log already has the failure
            await response.write(last)
            await response.write_eof()
        return response
    await response.write_eof()
    if timings is not None:
        log_request(request, timings, time.monotonic() - started)
    return response


def _logged(request: web.Request, error: Exception) -> Failure:
    if not isinstance(error, AsrError):
        log.exception("%s %s failed", caller(request), request.path, exc_info=error)
    failure = Failure.of(error)
    log.info("%s %s: the stream ended early: %r", caller(request), request.path, failure.message)
    return failure


async def paced(
    events: AsyncGenerator[Event], first: float, later: float
) -> AsyncGenerator[Event | None]:
    """`events`, and None whenever one takes more than `first`, then `later` seconds."""
    coming: asyncio.Task[Event | None] | None = None
    seconds = first
    try:
        while True:
            coming = coming or asyncio.create_task(_next(events))
            await asyncio.wait({coming}, timeout=seconds)
            seconds = later
            if not coming.done():
                yield None
                continue
            event, coming = coming.result(), None
            if event is None:
                return
            yield event
    finally:
        if coming is not None:
            await end_tasks(coming)
        await events.aclose()


async def _next(events: AsyncGenerator[Event]) -> Event | None:
    return await anext(events, None)
