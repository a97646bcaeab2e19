"""One client's connection: its events in, the session's events out, until one of both ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import dataclass

from aiohttp import WSCloseCode, WSMsgType

from asr.api.openai.realtime import configuration, older_dialect, server_events
from asr.api.openai.realtime.client_events import (
    AppendEvent,
    ClearEvent,
    ClientEvent,
    CommitEvent,
    RefusedEvent,
    UpdateEvent,
    read_event,
)
from asr.api.openai.realtime.configuration import Configuration
from asr.api.openai.realtime.sender import Sender, SlowReader
from asr.api.openai.realtime.socket import CLOSE_SECONDS, SMALL_BYTES, RealtimeSocket
from asr.api.openai.realtime.utterances import Utterances
from asr.capabilities import EngineInfo, ServerInfo
from asr.concurrency import end_tasks, run_in_thread
from asr.errors import AsrError, Failure, Overloaded
from asr.http.openapi import Json
from asr.http.sources import Turn
from asr.live.session import EndReason, LiveSession
from asr.metrics import Metrics
from asr.resources.memory_budget import BodyMemory

log = logging.getLogger(__name__)

COPIES = 3  # While it is read, its bytes are held so many times.
LOOK_SECONDS = 1.0  # It is looked at this often whether the text is late.
FLUSH_SECONDS = 2.0  # The last events have so long to be sent before the connection is closed.
REASON_BYTES = 123  # A close frame has no room for a longer reason.


@dataclass(frozen=True)
class Ending:
    """Why a connection ends, and how the client is told."""

    code: int  # of the close frame; RFC 6455, section 7.4
    reason: str
    failure: Failure | None = None  # is told by an event before


LEFT = Ending(WSCloseCode.OK, "the client has left")
SHUTTING_DOWN = Ending(WSCloseCode.GOING_AWAY, "the server is shutting down: connect again")
SLOW_READER = Ending(WSCloseCode.POLICY_VIOLATION, "the client does not read its events")
FAILED = Ending(WSCloseCode.INTERNAL_ERROR, "the server failed: its log has the details")
ENGINE_DEAD = Ending(WSCloseCode.INTERNAL_ERROR, "the engine has ended: use another server")
EXPIRED = Ending(
    WSCloseCode.OK,
    "the session has expired",
    Failure(
        400,
        "session_expired",
        "the session has lasted as long as MAX_LIVE_SESSION_S allows: connect again",
    ),
)
ENDINGS = {
    EndReason.EXPIRED: EXPIRED,
    EndReason.SHUTTING_DOWN: SHUTTING_DOWN,
    EndReason.ENGINE_DEAD: ENGINE_DEAD,
}


@dataclass(frozen=True)
class Means:
    """What every connection of a server needs."""

    info: EngineInfo
    server: ServerInfo
    metrics: Metrics
    memory: BodyMemory


class RealtimeConnection:
    """Carries events between a client and its live session.

    Args:
        is_older: the client speaks the beta's dialect.
        lasts: seconds after which the session expires.
    """

    def __init__(
        self,
        socket: RealtimeSocket,
        session: LiveSession,
        configured: Configuration,
        means: Means,
        is_older: bool,
        lasts: float,
    ) -> None:
        self._socket = socket
        self._session = session
        self._configuration = configured
        self._means = means
        self._is_older = is_older
        self._expires_at = int(time.time() + lasts)
        self._sender = Sender(socket)
        self._turn = Turn()
        self._utterances = Utterances(means.metrics)
        self.id = server_events.new_id("sess")
        self.ending = LEFT

    @property
    def utterances(self) -> int:
        """How many the session had."""
        return self._utterances.count

    async def run(self) -> None:
        """Carry events until the connection ends."""
        self._put_session("created")
        sending = asyncio.create_task(self._sent())
        parts = [sending, *map(asyncio.create_task, map(_ended, self._parts()))]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            self.ending = next(iter(done)).result()
            await end_tasks(*parts[1:])
            await self._close(sending)
        finally:
            await end_tasks(*parts)

    def _parts(self) -> list[Coroutine[None, None, Ending]]:
        return [self._read(), self._tell(), self._watch()]

    async def _sent(self) -> Ending:
        with contextlib.suppress(ConnectionError):
            await self._sender.run()
        return LEFT

    async def _read(self) -> Ending:
        """Read messages; the model is never waited for, so that pings are answered."""
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
            elif message.type is WSMsgType.BINARY:
                await self._append(in_pieces(message.data))
            elif message.type is WSMsgType.TEXT:
                await self._take(message.data)
            elif message.type is WSMsgType.ERROR:
                code = self._socket.close_code or WSCloseCode.ABNORMAL_CLOSURE
                self.ending = Ending(code, f"the connection failed: {message.data}")
                if self._socket.refuses_rest:
                    await self._socket.pass_over_rest()
                return self.ending
            elif message.type is not WSMsgType.PONG:
                return LEFT
            await self._turn.give()

    async def _take(self, data: bytes) -> None:
        try:
            room = self._room(data)
        except AsrError as error:
            self._refuse(error, None)
            return
        with room:
            await self._obey(data)

    def _room(self, data: bytes) -> contextlib.AbstractContextManager[object]:
        """Room for a large message while it is read, and until its audio is in the session."""
        if len(data) <= SMALL_BYTES:
            return contextlib.nullcontext()
        return self._means.memory.reserve(COPIES * len(data))

    async def _obey(self, data: bytes) -> None:
        try:
            event, event_id = await self._event(data)
        except RefusedEvent as refused:
            self._refuse(refused.error, refused.event_id)
            return
        except AsrError as error:
            self._refuse(error, None)
            return
        if isinstance(event, AppendEvent):
            await self._append(event.pieces)
            return
        try:
            self._carry_out(event, event_id)
        except Overloaded:
            raise
        except AsrError as error:
            self._refuse(error, event_id)

    async def _append(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self._session.append(piece)
            self._socket.memory.check()
            await self._turn.give()

    async def _event(self, data: bytes) -> tuple[ClientEvent, str | None]:
        if len(data) <= SMALL_BYTES:
            return read_event(data)
        return await run_in_thread(read_event, data)

    def _carry_out(
        self, event: CommitEvent | ClearEvent | UpdateEvent, event_id: str | None
    ) -> None:
        if isinstance(event, CommitEvent):
            self._session.commit(event_id)
        elif isinstance(event, UpdateEvent):
            self._is_older = self._is_older or event.is_older
            self._update(event.session)
        else:
            self._session.clear(event_id)

    def _update(self, asked: Json) -> None:
        means = self._means
        found = configuration.updated(self._configuration, asked, means.info, means.server)
        self._session.configure(found.live)
        self._configuration = found
        self._put_session("updated")

    def _refuse(self, error: AsrError, event_id: str | None) -> None:
        self._sender.put(server_events.failed_event(Failure.of(error), event_id))

    def _put_session(self, what: str) -> None:
        shown = {
            "id": self.id,
            "object": "realtime.transcription_session",
            "expires_at": self._expires_at,
            **self._configuration.echo(self._means.info.model_id),
        }
        if self._is_older:
            kind, shown = f"transcription_session.{what}", older_dialect.flattened(shown)
        else:
            kind = f"session.{what}"
        self._sender.put(server_events.event(kind, session=shown))

    async def _tell(self) -> Ending:
        async for told in self._session.events():
            for event in self._utterances.events(told, self._configuration, self._is_older):
                self._sender.put(event)
        reason = self._session.ended
        return FAILED if reason is None else ENDINGS.get(reason, LEFT)

    async def _watch(self) -> Ending:
        while not self._session.is_behind:  # it changes as time passes
            self._socket.memory.check()
            await asyncio.sleep(LOOK_SECONDS)
        return _overloaded(
            "the server does not keep up with the audio: connect to another one, or try again later"
        )

    async def _close(self, sending: asyncio.Task[Ending]) -> None:
        """Send what waits, and close."""
        ending = self.ending
        if ending is not SLOW_READER and not sending.done():
            with contextlib.suppress(SlowReader, TimeoutError):
                if ending.failure is not None:
                    self._sender.put(server_events.failed_event(ending.failure))
                self._sender.finish()
                async with asyncio.timeout(FLUSH_SECONDS):
                    await asyncio.shield(sending)
        await end_tasks(sending)
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(CLOSE_SECONDS):
                reason = ending.reason.encode()[:REASON_BYTES]
                await self._socket.close(code=ending.code, message=reason, drain=False)


def in_pieces(audio: bytes) -> Iterator[bytes]:
    """The same audio in pieces that are copied in a moment."""
    return (audio[at : at + SMALL_BYTES] for at in range(0, len(audio), SMALL_BYTES))


async def _ended(part: Coroutine[None, None, Ending]) -> Ending:
    """How a part of the connection ends, whatever it raises."""
    try:
        return await part
    except SlowReader:
        return SLOW_READER
    except Overloaded as error:
        return _overloaded(error.message)
    except Exception:  # the boundary: the client is told that the fault is ours
        log.exception("a live session failed")
        return FAILED


def _overloaded(message: str) -> Ending:
    failure = Failure(Overloaded.status, Overloaded.code, message)
    return Ending(WSCloseCode.TRY_AGAIN_LATER, message, failure)
