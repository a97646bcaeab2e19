"""One client's connection: its events in, the text of its recordings out.

Home Assistant opens a connection for each sentence, passes over `error` events and waits for a
`transcript` until the connection is closed: so every failure closes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Iterator
from itertools import chain, repeat

from wyoming.asr import (
    Transcribe,
    Transcript,
    TranscriptChunk,
    TranscriptStart,
    TranscriptStop,
)
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.info import Describe
from wyoming.ping import Ping, Pong

from asr.api.wyoming.means import ConnectionMeans
from asr.api.wyoming.reader import EventReader, IncomingEvent
from asr.api.wyoming.recording import ArrivingRecording, AskedTranscript, asked_of, format_of
from asr.api.wyoming.sender import EventSender
from asr.concurrency import WaitBudget, end_tasks
from asr.errors import AsrError, BadRequest, Failure, ShuttingDown
from asr.formats.writers import PlainText
from asr.http.admission import BUFFER_BYTES, REQUEST_BYTES
from asr.http.responses import log_transcription
from asr.http.sources import Turn
from asr.options import Options
from asr.transcription.scheduled_request import Timings

log = logging.getLogger(__name__)

ROUTE = "wyoming"  # The log and the metrics name its recordings so.
LINGER_SECONDS = 5.0  # After an error the client's rest is read so long: it may read only then.
PING_CHARS = 1000  # Of a ping's text so many characters come back.
PROBE_SECONDS = (
    0.05,
    0.2,
    1.0,
    10.0,
)  # A half-closed client is probed so long after the last time.
LEFT = 499  # The status of a recording whose client left, as for HTTP.


class WyomingConnection:
    """Answers the events of one client, and transcribes its recordings one after the other."""

    def __init__(
        self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter, means: ConnectionMeans
    ) -> None:
        self._events = EventReader(stream)
        self._sender = EventSender(writer, means.send_timeout_s)
        self._means = means
        self._asked = AskedTranscript()
        self._recording: ArrivingRecording | None = None  # whose audio is arriving
        self._budget = WaitBudget(means.limits.timeout_s)  # of waiting for that audio
        self._work: asyncio.Task[None] | None = None  # of the recording that is not answered yet
        self._is_finishing = False
        self._timer: asyncio.TimerHandle | None = None
        # Why the connection ends; None: without a failure.
        self._ended: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()

    @property
    def is_idle(self) -> bool:
        """Whether no recording is on its way."""
        return self._work is None or self._work.done()

    def finish(self) -> None:
        """End when the recording on its way is answered, or else at once."""
        self._is_finishing = True
        if self.is_idle:
            self._end(None)

    def abort(self) -> None:
        """End at once, whatever is on its way."""
        self._sender.abort()
        self._end(None)

    async def run(self) -> None:
        """Answer events until the client leaves, is idle for too long, or something fails."""
        reading = asyncio.create_task(self._read())
        try:
            failure = await self._ended
            await end_tasks(reading)
            if failure is not None:
                await self._refuse(failure)
        except ConnectionError as error:
            log.debug("a client was not told of a failure: %s", error)
        finally:
            await self._close(reading)
            if self._timer is not None:
                self._timer.cancel()

    def _end(self, failure: Failure | None) -> None:
        if not self._ended.done():
            self._ended.set_result(failure)

    def _wait_again(self) -> None:
        """Let the client have its whole time again to send an event."""
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._means.idle_timeout_s, self._end_if_idle)

    def _end_if_idle(self) -> None:
        if self.is_idle:
            self._end(None)

    async def _read(self) -> None:
        """Carry out events; whatever ends that ends the connection."""
        failure, turn = None, Turn()
        try:
            self._wait_again()
            while (event := await self._next()) is not None:
                await self._carry_out(event)
                self._wait_again()
                await turn.give()
            if self._recording is None:
                await self._until_answered()
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            log.debug("a client has left: %s", error)
        except Exception as error:  # the boundary: the client is told
            failure = _failure(error, ROUTE)
        self._end(failure)

    async def _until_answered(self) -> None:
        """Wait for the answer to a client that has closed its sending side after its audio.

        The system cannot tell it from one that has left until something is sent: so a `ping` is,
        now and then, which clients pass over. The system of one that has left refuses it.

        Raises:
            ConnectionError: the client has left.
        """
        for seconds in chain(PROBE_SECONDS, repeat(PROBE_SECONDS[-1])):
            if self._work is None or self._work.done():
                return
            await self._sender.send(Ping().event())
            await asyncio.wait([self._work], timeout=seconds)

    async def _next(self) -> IncomingEvent | None:
        """The next event; None where the client sends no more.

        Raises:
            BodyTimeout: a recording's audio comes too slowly.
        """
        if self._recording is None:
            return await self._events.next()
        with self._timely():
            async with self._budget.waiting():
                return await self._events.next()

    async def _piece(self) -> bytes:
        with self._timely():
            async with self._budget.waiting():
                return await self._events.piece()

    @contextlib.contextmanager
    def _timely(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise self._means.limits.too_slow("the audio") from error

    async def _carry_out(self, event: IncomingEvent) -> None:
        """Carry out an event; those of other types are passed over, as the protocol wants."""
        if Describe.is_type(event.type):
            await self._sender.send(self._means.info)
        elif Ping.is_type(event.type):
            text = event.data.get("text")
            await self._sender.send(
                Pong(text[:PING_CHARS] if isinstance(text, str) else None).event()
            )
        elif Transcribe.is_type(event.type):
            self._asked = asked_of(event)
            self._means.transcriber.check(self._asked.options(self._means.engine))
        elif AudioStart.is_type(event.type):
            await self._begin(event)
        elif AudioChunk.is_type(event.type):
            await self._take(event)
        elif AudioStop.is_type(event.type) and self._recording is not None:
            await self._recording.end()
            self._recording = None

    async def _begin(self, event: IncomingEvent) -> ArrivingRecording:
        """Begin a recording, once the one before it is answered."""
        if self._recording is not None:
            raise BadRequest("audio-start: the audio before it has no end: send audio-stop first")
        if self._work is not None:
            await asyncio.wait([self._work])
        if self._is_finishing:
            raise ShuttingDown("the server is shutting down: send the audio to another server")
        self._recording = ArrivingRecording(format_of(event))
        self._budget = WaitBudget(self._means.limits.timeout_s)
        asked, self._asked = self._asked, AskedTranscript()
        work = self._answer(self._recording, asked.options(self._means.engine))
        self._work = asyncio.create_task(work)
        return self._recording

    async def _take(self, event: IncomingEvent) -> None:
        """Let the recording have the audio of an event, piece by piece."""
        recording = self._recording
        if recording is None:
            recording = await self._begin(event)
        else:
            format_of(event, recording.format)
        self._means.limits.check(recording.received + event.payload_length)
        while self._events.has_payload:
            await recording.put(await self._piece())

    async def _answer(self, recording: ArrivingRecording, options: Options) -> None:
        """Transcribe a recording and send its text; a failure ends the connection."""
        name, status = f"{uuid.uuid4().hex} {ROUTE}", LEFT
        try:
            await self._transcribe(recording, options, name)
            status = 200
        except ConnectionError:
            self._end(None)
        except Exception as error:  # the boundary: the client is told
            failure = _failure(error, name)
            status = failure.status
            self._end(failure)
        finally:
            self._means.metrics.requests.labels(ROUTE, str(status)).inc()
            self._wait_again()
        if self._is_finishing:
            self._end(None)

    async def _transcribe(self, recording: ArrivingRecording, options: Options, name: str) -> None:
        """Send the text while it is written, and then the whole."""
        started, means = time.monotonic(), self._means
        timings, writer, texts = Timings(), PlainText(), list[str]()
        parts = means.transcriber.parts(recording.source(), options, timings)
        with means.scheduler.expect(), means.memory.reserve(REQUEST_BYTES + BUFFER_BYTES):
            async with contextlib.aclosing(parts):
                async for part in parts:
                    language = part.language
                    if text := "".join(map(writer.push, part.segments)):
                        await self._send_text(text, language, is_first=not texts)
                        texts.append(text)
        if not texts:
            await self._sender.send(TranscriptStart(language=language).event())
        log_transcription(name, timings, time.monotonic() - started)
        await self._sender.send(Transcript("".join(texts), language=language).event())
        await self._sender.send(TranscriptStop().event())

    async def _send_text(self, text: str, language: str | None, is_first: bool) -> None:
        if is_first:
            await self._sender.send(TranscriptStart(language=language).event())
        await self._sender.send(TranscriptChunk(text).event())

    async def _refuse(self, failure: Failure) -> None:
        """Tell why the connection ends, and read on so that the client can, too."""
        await self._sender.send_last(Error(failure.message, failure.code).event())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                await self._events.rest()

    async def _close(self, reading: asyncio.Task[None]) -> None:
        self._sender.close()
        await end_tasks(reading)
        if self._work is not None:
            await end_tasks(self._work)
        await self._sender.closed()


def _failure(error: Exception, name: str) -> Failure:
    """A failure as the client is told of it; the log has it under `name`."""
    failure = Failure.of(error)
    if not isinstance(error, AsrError):
        log.exception("%s failed", name, exc_info=error)
    log.info("%s: %d %r", name, failure.status, failure.message)
    return failure
