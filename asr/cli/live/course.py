"""Sends audio to a session while its events are shown."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol

from asr.cli.live.interruption import Interruption
from asr.concurrency import end_tasks
from asr.errors import EngineDead
from asr.live.events import Failed, LiveEvent
from asr.live.session import EndReason, LiveSession

AHEAD_SECONDS = 60.0  # A session in this process is sent at most so much audio before it reads it.
LOOK_SECONDS = 0.05  # Whether it has read more is looked at so often.
SAMPLE_BYTES = 2  # A sample has 16 bits.


class PcmSession(Protocol):
    """What listens: in this process, or in a server."""

    async def append(self, data: bytes) -> None:
        """Send 16-bit PCM; waits while the other side is behind."""
        ...

    async def finish(self) -> None:
        """Say that no audio follows."""
        ...

    def events(self) -> AsyncIterator[LiveEvent]:
        """Each event as it comes, until all audio is transcribed."""
        ...


class TextOutput(Protocol):
    """What shows events."""

    def show(self, event: LiveEvent) -> None: ...

    def say(self, line: str) -> None:
        """Print a line that is no transcript."""
        ...

    def close(self) -> None: ...


class LocalSession:
    """A session in this process.

    Args:
        rate: samples per second of its audio.
    """

    def __init__(self, session: LiveSession, rate: int) -> None:
        self._session = session
        self._rate = rate
        self._sent = 0.0  # seconds

    async def append(self, data: bytes) -> None:
        while self._is_far_ahead:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
        self._session.append(data)
        self._sent += len(data) / SAMPLE_BYTES / self._rate

    async def finish(self) -> None:
        self._session.finish()

    async def events(self) -> AsyncIterator[LiveEvent]:
        """Each event as it comes, until all audio is transcribed.

        Raises:
            EngineDead: nothing can be transcribed any more.
        """
        async for event in self._session.events():
            yield event
        if self._session.ended is EndReason.ENGINE_DEAD:
            raise EngineDead("the engine has ended, and this process with it")

    @property
    def _is_far_ahead(self) -> bool:
        unread = self._sent - self._session.seconds
        return unread > AHEAD_SECONDS and self._session.ended is None


async def run(
    session: PcmSession,
    pieces: AsyncGenerator[bytes],
    output: TextOutput,
    interruption: Interruption,
) -> int:
    """Send all pieces, show all events; return how many utterances have failed.

    Raises:
        CallerError, ClickException: of the pieces, after what came before is transcribed.
    """
    sending = asyncio.create_task(_send(pieces, session))
    finishing = asyncio.create_task(_finish(sending, session))
    interruption.ends(sending)
    failed = 0
    try:
        async for event in session.events():
            output.show(event)
            failed += isinstance(event, Failed)
    finally:
        output.close()
        await end_tasks(sending, finishing)
    for task in (sending, finishing):
        if not task.cancelled():
            task.result()
    return failed


async def _send(pieces: AsyncGenerator[bytes], session: PcmSession) -> None:
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            await session.append(piece)


async def _finish(sending: asyncio.Task[None], session: PcmSession) -> None:
    """Finish the session once all is sent, also where sending was ended or has failed."""
    await asyncio.wait({sending})
    await session.finish()
