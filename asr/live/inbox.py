"""What a client has sent and the session has not read yet, in order."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from dataclasses import dataclass

from asr.errors import Overloaded
from asr.live.options import LiveOptions

MOST_BYTES = 32 * 1024 * 1024  # More than this, in bytes, is refused until some is read.
MOST_COMMANDS = 10_000  # The same of commands that are no audio.
JOINED_BYTES = 65_536  # Pieces of audio are joined until they have so many bytes.
COMMAND_BYTES = 500  # A command holds so many bytes, without its texts.


@dataclass(frozen=True)
class Commit:
    tag: str | None


@dataclass(frozen=True)
class Clear:
    tag: str | None


@dataclass(frozen=True)
class Configure:
    options: LiveOptions


@dataclass(frozen=True)
class Finish:
    """No more audio will come."""


Command = bytearray | Commit | Clear | Configure | Finish


class Inbox:
    """A queue of bounded size with one reader; putting never waits."""

    def __init__(self) -> None:
        self._commands: deque[Command] = deque()
        self._changed = asyncio.Event()
        self.waiting = 0  # bytes of audio that nobody has read
        self.held = 0  # bytes of audio and of commands

    def append(self, data: bytes) -> None:
        """Put audio behind what is there.

        Raises:
            Overloaded: too much is there already.
        """
        if self.held + len(data) > MOST_BYTES:
            raise Overloaded(
                f"{self.waiting / 2**20:.0f} MiB of audio are not read yet: send audio no faster "
                "than it is spoken, or wait for the text of what you have sent"
            )
        self.waiting += len(data)
        self.held += len(data)
        last = self._commands[-1] if self._commands else None
        if isinstance(last, bytearray) and len(last) + len(data) <= JOINED_BYTES:
            last += data
        else:
            self._commands.append(bytearray(data))
        self._changed.set()

    def put(self, command: Commit | Clear | Configure | Finish) -> None:
        """Put a command behind the audio that was sent before it.

        Raises:
            Overloaded: too many are there already.
        """
        size = _bytes_of(command)
        is_full = len(self._commands) >= MOST_COMMANDS or self.held + size > MOST_BYTES
        if is_full and not isinstance(command, Finish):
            raise Overloaded(
                f"{len(self._commands)} commands are not read yet: wait for the answers to those "
                "that you have sent"
            )
        self.held += size
        self._commands.append(command)
        self._changed.set()

    async def next(self) -> Command:
        """Take out what came first; its bytes wait until `read` counts them."""
        while not self._commands:
            self._changed.clear()
            await self._changed.wait()
        command = self._commands.popleft()
        if not isinstance(command, bytearray):
            self.held -= _bytes_of(command)
        return command

    def read(self, count: int) -> None:
        """Count `count` bytes of audio as read."""
        self.waiting -= count
        self.held -= count


def _bytes_of(command: Commit | Clear | Configure | Finish) -> int:
    """About how many bytes a command holds: its client chooses its texts."""
    texts: tuple[str | None, ...] = ()
    if isinstance(command, Configure):
        options = command.options.options
        texts = (options.prompt, options.language, *options.languages, *options.vocabulary)
    elif not isinstance(command, Finish):
        texts = (command.tag,)
    return COMMAND_BYTES + sum(map(sys.getsizeof, texts))
