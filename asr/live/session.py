"""One live session: audio and commands in, events out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import Enum
from types import TracebackType
from typing import Self

from asr.concurrency import end_tasks
from asr.errors import EngineDead
from asr.live.decoding.transcriber import LiveTranscriber
from asr.live.decoding.windows import WindowDecoder
from asr.live.events import LiveEvent
from asr.live.inbox import Clear, Command, Commit, Configure, Finish, Inbox
from asr.live.input import AudioInput
from asr.live.options import LiveOptions
from asr.live.outbox import Outbox
from asr.live.speakers.completions import Completions
from asr.live.turns import LiveTurns
from asr.live.voice import JudgedAudio, VoiceTrack
from asr.pcm import SAMPLE_RATE
from asr.transcription.policy import check
from asr.transcription.scheduler import Scheduler
from asr.transcription.setup import TranscriptionSetup
from asr.vad.detector import Detector

BLOCK_SECONDS = 1.0  # So much audio, in seconds, is converted and judged at a time.
MOST_WAITING = 4  # While so many windows wait for their text, no more audio is read.
BEHIND_SECONDS = 10.0  # A text that is missing for so many seconds is late.
HEAD_START = 2.0  # A client may be so many seconds of audio ahead and still be no faster.


class EndReason(Enum):
    """Why a session has ended."""

    FINISHED = "finished"  # The client has said that no audio follows, and all is transcribed.
    EXPIRED = "expired"  # It has lasted as long as a session may.
    SHUTTING_DOWN = "shutting down"  # The server is about to end.
    ENGINE_DEAD = "engine dead"  # Nothing can be transcribed any more.


class LiveSession:
    """Transcribes while audio comes; its methods belong to the event loop.

    It works inside `async with`, and is left at any moment: what is unfinished is dropped.

    Args:
        longest: seconds after which it ends by itself.
        begun: the sessions that have begun and not ended; it enters and leaves them.
    """

    def __init__(
        self,
        setup: TranscriptionSetup,
        scheduler: Scheduler,
        detector: Detector,
        options: LiveOptions,
        longest: float,
        begun: set[LiveSession],
    ) -> None:
        self._setup = setup
        self._begun = begun
        self._options = options
        self._longest = longest
        self._inbox, self._outbox = Inbox(), Outbox()
        self._input = AudioInput(options.audio)
        self._voice = VoiceTrack(detector.begin(None))
        window = min(setup.window_seconds, setup.info.longest_window)
        self._turns = LiveTurns(options, window, self._outbox)
        decoder = WindowDecoder(setup, scheduler, self._voice.track, self._is_ahead)
        self._completions = Completions(setup.diarization, decoder.request, self._outbox)
        self._transcriber = LiveTranscriber(
            decoder, self._turns.takes, self._outbox, self._completions
        )
        self._changed = asyncio.Event()  # A window was begun, or its text is complete.
        self._is_read = False  # The inbox is read to its end.
        self._is_finished = False
        self._is_expired = False
        self._opened_at = time.monotonic()
        self._received = 0.0  # seconds of audio that the client has sent
        self._has_hurried = False  # whether it was ever ahead of those who speak
        self._audio = options.audio  # the format of what the client sends now
        self._tasks: list[asyncio.Task[None]] = []
        self.ended: EndReason | None = None  # None: it goes on

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._begun.add(self)
        self._opened_at = time.monotonic()
        self._expiry = loop.call_later(self._longest, self._expire)
        parts = (self._read, self._write, self._completions.run)
        self._tasks = [loop.create_task(self._run(part)) for part in parts]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._begun.discard(self)
        self._expiry.cancel()
        await end_tasks(*self._tasks)
        self._outbox.end()

    @property
    def seconds(self) -> float:
        """Seconds of audio that are read so far."""
        return self._turns.samples / SAMPLE_RATE

    @property
    def held(self) -> int:
        """Bytes that it holds of what its client has sent, without what every session takes."""
        takes = sum(take.held for take in self._turns.takes)
        return self._inbox.held + takes + self._transcriber.held + self._completions.held

    @property
    def is_behind(self) -> bool:
        """Whether text is late although the client has sent no faster than people speak.

        Who has sent a recording at once waits for its text, however long that takes.
        """
        if self._has_hurried:
            return False
        now = time.monotonic()
        unread = self._inbox.waiting / self._audio.bytes_per_second
        return unread > BEHIND_SECONDS or any(
            now - take.utterance.committed_at > max(BEHIND_SECONDS, take.utterance.seconds)
            for take in self._turns.takes
            if take.utterance.committed_at is not None
        )

    def _is_ahead(self) -> bool:
        """Whether the client has sent audio faster than people speak."""
        return self._received > time.monotonic() - self._opened_at + HEAD_START

    def append(self, data: bytes) -> None:
        """Send audio, in the format of the options; it is only kept for now.

        Raises:
            Overloaded: too much audio is not read yet.
        """
        if data and not self._is_finished:
            self._inbox.append(data)
            self._received += len(data) / self._audio.bytes_per_second
            self._has_hurried = self._has_hurried or self._is_ahead()

    def commit(self, tag: str | None = None) -> None:
        """End the utterance behind the audio so far.

        Raises:
            Overloaded: too many commands are not read yet.
        """
        self._put(Commit(tag))

    def clear(self, tag: str | None = None) -> None:
        """Forget the audio that is in no complete utterance.

        Raises:
            Overloaded: too many commands are not read yet.
        """
        self._put(Clear(tag))

    def configure(self, options: LiveOptions) -> None:
        """Change the options for the audio that follows.

        Raises:
            BadRequest: the model or the server cannot honour them.
            Overloaded: too many commands are not read yet.
        """
        check_options(self._setup, options)
        self._put(Configure(options))
        self._audio = options.audio

    def finish(self) -> None:
        """Say that no audio follows; `events` ends when all of it is transcribed."""
        self._put(Finish())
        self._is_finished = True

    def stop(self, reason: EndReason) -> None:
        """End at once; what is unfinished is dropped."""
        if self.ended is None:
            self.ended = reason
        for task in self._tasks:
            task.cancel()
        self._outbox.end()

    async def events(self) -> AsyncIterator[LiveEvent]:
        """Each event as it happens, for one reader; `ended` says why there are no more."""
        async for event in self._outbox.events():
            yield event

    def _put(self, command: Commit | Clear | Configure | Finish) -> None:
        if not self._is_finished:
            self._inbox.put(command)

    def _expire(self) -> None:
        self._is_expired = True
        self.finish()

    async def _run(self, part: Callable[[], Awaitable[None]]) -> None:
        """Run a part of the session; where it fails, the reader of events is told."""
        try:
            await part()
        except EngineDead:
            self.stop(EndReason.ENGINE_DEAD)
        except Exception as error:  # the boundary: whoever reads events is told
            self._outbox.end(error)
            raise

    async def _read(self) -> None:
        """Read the inbox: divide the audio, carry out commands."""
        while not self._is_read:
            await self._room()
            await self._carry_out(await self._inbox.next())

    async def _carry_out(self, command: Command) -> None:
        if isinstance(command, bytearray):
            await self._read_audio(command)
        elif isinstance(command, Commit):
            self._turns.commit(command.tag)
        elif isinstance(command, Clear):
            self._turns.clear()
        elif isinstance(command, Configure):
            await self._configure(command.options)
        else:
            await self._take(b"", is_last=True)
            self._turns.finish()
            self._is_read = True
        self._changed.set()

    async def _read_audio(self, data: bytearray) -> None:
        size = max(2, int(BLOCK_SECONDS * self._options.audio.bytes_per_second))
        for place in range(0, len(data), size):
            await self._room()
            block = bytes(memoryview(data)[place : place + size])
            await self._take(block)
            self._inbox.read(len(block))

    async def _take(self, data: bytes, is_last: bool = False) -> None:
        judged = await self._setup.threads.run(self._judged, data, is_last)
        self._turns.push(judged)
        self._changed.set()

    def _judged(self, data: bytes, is_last: bool) -> JudgedAudio:
        """The next samples with what the detector says; runs in a thread."""
        samples = self._input.push(data, is_last)
        turns = self._options.turns
        threshold = 0.5 if turns is None else turns.threshold
        return JudgedAudio(samples, self._voice.push(samples, threshold))

    async def _configure(self, options: LiveOptions) -> None:
        if options.audio != self._options.audio:
            await self._take(b"", is_last=True)
            self._input = AudioInput(options.audio)
        self._options = options
        self._turns.configure(options)

    async def _room(self) -> None:
        """Wait while the reader of events, the engine or the diarizer is behind."""
        await self._outbox.room()
        await self._completions.room()
        while sum(take.is_complete for take in self._turns.takes) >= MOST_WAITING:
            self._changed.clear()
            await self._changed.wait()

    async def _write(self) -> None:
        """Transcribe one window after the other."""
        while self._turns.takes or not self._is_read:
            await self._outbox.room()
            if self._turns.takes:
                await self._transcriber.next()
                self._changed.set()
            else:
                self._changed.clear()
                await self._changed.wait()
        await self._completions.drained()
        if self.ended is None:
            self.ended = EndReason.EXPIRED if self._is_expired else EndReason.FINISHED
        self._outbox.end()


def check_options(setup: TranscriptionSetup, options: LiveOptions) -> None:
    """Refuse what the model or the server cannot honour.

    Raises:
        BadRequest: it names the option and the remedy.
    """
    has_diarizer = setup.diarization is not None
    check(setup.policy.apply(options.options), setup.info, has_diarizer)
