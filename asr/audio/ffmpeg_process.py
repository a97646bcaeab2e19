"""One process of the program ffmpeg: fed, watched for progress, and judged by how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import struct
import termios
from collections.abc import AsyncIterator, Sequence

from asr.audio.damage import Damage
from asr.audio.ffmpeg_messages import Messages
from asr.audio.streams import Source
from asr.errors import AsrError, BadAudio, DecoderFailed
from asr.resources.exhaustion import require_descriptors, run_out

log = logging.getLogger(__name__)

DESCRIPTORS = 6  # A start opens so many descriptors at once; half of them stay open.
NICENESS = 10  # A decoder's process has a priority lower than the server's by so much.
CHECKS = 8  # Progress is looked for so many times before a process counts as hanging.
TAKEN_BYTES = 2**20  # A process that writes nothing makes progress if it takes so many bytes.
TURNS = 3  # After so many turns of the event loop all messages that were in the pipe are taken.
END_SECONDS = 5  # A killed process is waited for so long; then its pipes are given up.
DECODING = "decod"  # Errors about codecs have it; others come at the usual end of some files, too.
SHELL_SIGNALS = range(129, 160)  # A shell script whose program was killed ends with such a code.


async def started(command: Sequence[str], source: Source, buffer_bytes: int) -> FfmpegProcess:
    """Start `command` in a process group of its own.

    Raises:
        OutOfResources: there are no descriptors, processes or memory for it.
        DecoderFailed: it cannot be run.
    """
    stream = source if isinstance(source, AsyncIterator) else None
    try:
        require_descriptors(DESCRIPTORS)
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=source if stream is None else asyncio.subprocess.PIPE,  # type: ignore[arg-type]
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=buffer_bytes,
            process_group=0,
        )
    except (OSError, RuntimeError) as error:
        raise _not_started(error) from error
    _lower_priority(process.pid)
    return FfmpegProcess(process, stream)


def _not_started(error: OSError | RuntimeError) -> AsrError:
    if (exhausted := run_out(error, "the audio decoder cannot be started")) is not None:
        return exhausted
    return DecoderFailed(f"the audio decoder cannot be started ({error}): install ffmpeg anew")


def _lower_priority(pid: int) -> None:
    """Lower the priority of a process, because many decoders at once would delay every answer."""
    with contextlib.suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)


class FfmpegProcess:
    """Runs until `end`; reads its input from a stream, or from the file that it was given."""

    def __init__(
        self, process: asyncio.subprocess.Process, stream: AsyncIterator[bytes] | None
    ) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._output = process.stdout
        self._handed = 0  # bytes written to its input, read by it or not
        self.messages = Messages()
        self._reader = asyncio.create_task(self.messages.read(process.stderr))
        self._feeder = asyncio.create_task(self._feed(stream))

    async def output(self, size: int, stall_seconds: float) -> bytes:
        """Read at most `size` bytes of its output; b"" at the end.

        What it said before them is among its `messages` then. Waiting for the sender of the input
        is not counted.

        Raises:
            DecoderFailed: for so many seconds it wrote nothing and took nothing.
        """
        clock = asyncio.get_running_loop().time
        since, taken = clock(), self._taken
        while True:
            try:
                async with asyncio.timeout(stall_seconds / CHECKS):
                    data = await self._output.read(size)
                await self._catch_up()
                return data
            except TimeoutError:
                if self._feeder.done():
                    self._feeder.result()  # the source's own failure comes first
            if self._has_taken_all or self._taken - taken >= TAKEN_BYTES:
                since, taken = clock(), self._taken
            elif clock() - since >= stall_seconds:
                raise _hangs(stall_seconds)

    async def _catch_up(self) -> None:
        """Let all messages be taken that were written before the last output was read.

        The loop polls the pipe, hands its bytes to the reader, and wakes the reader.
        """
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def finish(self, decoded: float, stall_seconds: float, damage: Damage) -> None:
        """Judge the process by its end, after its last output.

        Args:
            decoded: seconds of audio that it has written.

        Raises:
            Exception: what the source has raised.
            BadAudio: it says why it wrote no audio.
            DecoderFailed: it was killed, or ended too early without a reason.
        """
        has_all_input = self._feeder.done() and self._feeder.result()
        try:
            async with asyncio.timeout(stall_seconds):
                code = await self._process.wait()
                said = await self._reader
        except TimeoutError:
            raise _hangs(stall_seconds) from None
        if damage.declared is None:
            damage.declared = said.declared
        if (why := _failure(code, said, decoded, has_all_input)) is not None:
            log.error("a decoder failed after %.1f s of audio: %s; %r", decoded, why, said.errors)
            raise DecoderFailed(f"the audio decoder {why}: send the request again")
        if not decoded:
            raise BadAudio(_unreadable(said))
        if said.errors and not (_is_complete(said, decoded) and DECODING not in said.errors):
            log.info("audio damaged: %r", said.errors)
            damage.note(said.reason)

    async def end(self) -> None:
        """Kill what still runs, and wait for its end."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        for task in (self._feeder, self._reader):
            task.cancel()
        rest = _discarded(self._output)  # `wait` needs the pipe read to its end
        ends = asyncio.gather(
            self._process.wait(), rest, self._feeder, self._reader, return_exceptions=True
        )
        has_ended = False
        try:
            async with asyncio.timeout(END_SECONDS):
                await ends
            has_ended = True
        except TimeoutError:
            log.error("a decoder does not end, or another process holds its pipes")
        finally:
            if not has_ended:  # also where the caller is cancelled meanwhile
                self._process._transport.close()  # type: ignore[attr-defined]

    async def _feed(self, stream: AsyncIterator[bytes] | None) -> bool:
        """Write `stream` to the process, as fast as it reads; then close its input.

        Returns:
            Whether the process took all; of a file this is not known and counts as so.
        """
        if stream is None:
            return True
        decoder = self._process.stdin
        assert decoder is not None
        try:
            async for data in stream:
                self._handed += len(data)
                if not await _write(decoder, data):
                    return False
        finally:
            decoder.close()
        return True

    @property
    def _has_taken_all(self) -> bool:
        """Whether it waits for the sender of its input."""
        return not self._feeder.done() and self._taken == self._handed

    @property
    def _taken(self) -> int:
        """The bytes of its input that it has read, as far as that is known."""
        stdin = self._process.stdin
        if stdin is None or stdin.is_closing():
            return self._handed
        unread = struct.pack("i", 0)
        with contextlib.suppress(OSError):  # where the pipe is a pair of sockets
            pipe = stdin.get_extra_info("pipe").fileno()
            unread = fcntl.ioctl(pipe, termios.FIONREAD, unread)
        buffered: int = stdin.transport.get_write_buffer_size()
        return self._handed - buffered - int(struct.unpack("i", unread)[0])


def _hangs(seconds: float) -> DecoderFailed:
    log.error("a decoder made no progress for %g s and is killed", seconds)
    return DecoderFailed(
        f"the audio decoder made no progress for {seconds:g} s: send the request again, "
        "or re-encode the file"
    )


def _failure(code: int, said: Messages, decoded: float, has_all_input: bool) -> str | None:
    """Why the process failed, as a predicate; None where it ended as ffmpeg should."""
    number = -code if code < 0 else code - 128 if code in SHELL_SIGNALS else None
    if number is not None:
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        hint = ", often by a limit on memory" if number == signal.SIGKILL else ""
        return f"was killed ({name}{hint})"
    if code and not said.errors:
        return f"ended with code {code} without a reason" + (f" ({said.other})" * bool(said.other))
    if has_all_input or said.errors or said.is_film or (said.complains and not decoded):
        return None
    if _is_complete(said, decoded):
        return None
    return "ended before it had read all its input, without a reason"


def _is_complete(said: Messages, decoded: float) -> bool:
    """Whether all that the file declares is decoded."""
    return said.declared is not None and not Damage(said.declared, decoded).missing


def _unreadable(said: Messages) -> str:
    if "matches no streams" in said.errors:
        return "the file has no audio stream: send a file with sound"
    return (
        f"the bytes cannot be decoded as audio ({said.reason or 'no samples came out'}): send a "
        "complete file in a common format, such as mp3, wav, flac, ogg, webm or m4a"
    )


async def _write(decoder: asyncio.StreamWriter, data: bytes) -> bool:
    """Write `data`; return False where the process has closed its input."""
    try:
        decoder.write(data)
        await decoder.drain()
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


async def _discarded(stream: asyncio.StreamReader) -> None:
    while await stream.read(2**16):
        pass
