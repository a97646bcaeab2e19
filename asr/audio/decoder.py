"""Decodes any container or codec to blocks of 16 kHz, while it arrives."""

from __future__ import annotations

import contextlib
import io
import logging
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

import soundfile

from asr.audio import mp3
from asr.audio.buffer import buffered
from asr.audio.damage import Damage
from asr.audio.ffmpeg import PROGRAM, STALL_SECONDS, Ffmpeg, find_program
from asr.audio.libsndfile import (
    HEAD_BYTES,
    MP3_SECONDS,
    SoundfileDecoder,
    bytes_in_memory,
    is_wave_or_flac,
    opened_by_soundfile,
)
from asr.audio.process_limit import ProcessLimit
from asr.audio.streams import Source, chained, from_start, read_at_least, stream_of
from asr.audio.tracks import chosen_channels, require_first, without_first
from asr.audio.wav import Header, WaveDecoder, read_header
from asr.concurrency import ThreadPool
from asr.errors import AsrError, BadAudio, DecoderFailed, TooLarge, UnsupportedMedia
from asr.options import Channels
from asr.pcm import SAMPLE_RATE, Samples
from asr.resources import cpu
from asr.resources.exhaustion import run_out
from asr.resources.spool import Spool

log = logging.getLogger(__name__)

Result = TypeVar("Result")

WITHOUT_FFMPEG = f"wav, flac, and undamaged mp3 of up to {MP3_SECONDS} s"  # All that is left.
MAX_BOXES = 256  # The search for an mp4's index ends after so many boxes; a usual file has a few.


@dataclass(frozen=True)
class Reading:
    """What is asked of one source, what is told of it, and what it holds open."""

    track: int | None  # None: the default one
    is_split: bool  # whether the channels stay apart
    damage: Damage
    stack: contextlib.AsyncExitStack


class Decoder:
    """Decodes bytes to PCM in threads and in at most `processes` child processes.

    A child process lives as long as its source is transcribed, mostly idle: `processes` bounds
    memory, not work.

    Args:
        program: ffmpeg, by its name or its path; without it some formats are left.
        stall_seconds: a process that makes no progress for so long is killed.
    """

    def __init__(
        self,
        max_seconds: float,
        processes: int,
        program: str = PROGRAM,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self._max_samples = round(max_seconds * SAMPLE_RATE) if max_seconds else None
        self._processes = ProcessLimit(processes)
        self._threads = ThreadPool(
            2 * cpu.usable(), "decode"
        )  # shared by decoding and access to files
        path = find_program(program)
        self._ffmpeg = None if path is None else Ffmpeg(path, self._threads, stall_seconds)
        if path is None:
            log.warning("ffmpeg is not installed: only %s can be decoded", WITHOUT_FFMPEG)

    def close(self) -> None:
        self._threads.close()

    async def blocks(
        self,
        source: Source,
        damage: Damage | None = None,
        track: int | None = None,
        channels: Channels = "mix",
    ) -> AsyncGenerator[Samples]:
        """Decode `source`; yield blocks of at most some ten seconds.

        They are [samples], or where channels are split [samples, channels].

        Args:
            damage: gets what is wrong with the audio; complete after the last block.
            track: the number of an audio track, from 0; None: the default one.

        Raises:
            BadAudio: no decoder can read the bytes, or they hold no samples.
            BadRequest: there is no such track or channel, or there are too many channels.
            UnsupportedMedia: the format needs ffmpeg, and there is none.
            TooLarge: the audio is longer than `max_seconds`; raised while decoding.
            ServerError: a decoder failed, or the disk or the system has nothing left for it.
        """
        total = frames = 0
        damage = damage or Damage()
        is_split = channels != "mix"
        async with contextlib.AsyncExitStack() as stack:
            async for block in await self._open(source, Reading(track, is_split, damage, stack)):
                if is_split:
                    block = chosen_channels(block, channels)
                total += block.size
                frames += len(block)
                damage.decoded = frames / SAMPLE_RATE
                self._check_length(total, " of all channels" if channels == "split" else "")
                if len(block):
                    yield block
        if total == 0:
            raise BadAudio("the audio has no samples: send a recording of at least one sample")

    def _check_length(self, samples: float, whose: str) -> None:
        if self._max_samples is not None and samples > self._max_samples:
            raise TooLarge(
                f"the audio{whose} lasts {samples / SAMPLE_RATE:.0f} s or more, the limit is "
                f"MAX_AUDIO_SECONDS={self._max_samples / SAMPLE_RATE:g}: send it in parts"
            )

    async def _open(self, source: Source, reading: Reading) -> AsyncIterator[Samples]:
        """Choose the decoder of `source`; closing the stack ends it, even before its end."""
        if not isinstance(source, AsyncIterator):
            return await self._open_file(source, reading)
        head, is_whole = await _head(source)
        header = read_header(head)
        if header is None and is_whole and bytes_in_memory(head):
            return await self._open_file(io.BytesIO(head), reading)
        if header is None and self._needs_file(head):
            file = await self._on_disk(head, source, reading.stack)
            return await self._open_file(file, reading)
        buffer = None
        if not is_whole:
            buffer = await reading.stack.enter_async_context(buffered(source, self._threads))
        data = stream_of([head]) if buffer is None else chained(head, buffer)
        reading.damage.declared = mp3.seconds(head)
        if header is not None:
            require_first(reading.track, "wav")
            return await _entered(self._with_wave(header, data, reading), reading.stack)
        if buffer is not None:
            await self._processes.turn(buffer)
        return await self._with_ffmpeg(data, reading)

    def _needs_file(self, head: bytes) -> bool:
        """Whether a decoder must go back and forth in what begins like this.

        Raises:
            UnsupportedMedia: only ffmpeg reads it, and there is none.
        """
        if self._ffmpeg is None:
            if not is_wave_or_flac(head):
                raise _needs_ffmpeg()
            return True
        return needs_seeking(head)

    async def _open_file(self, file: BinaryIO, reading: Reading) -> AsyncIterator[Samples]:
        sound = await self._run(opened_by_soundfile, file)
        if sound is not None:
            decoder = SoundfileDecoder(sound, reading.is_split)
            reading.stack.callback(decoder.close)
            require_first(reading.track, sound.format.lower())
            return await _entered(self._with_soundfile(decoder, file, reading), reading.stack)
        reading.damage.declared = await self._run(_mp3_seconds, file)
        return await self._with_ffmpeg(from_start(file), reading)

    async def _on_disk(
        self, head: bytes, stream: AsyncIterator[bytes], stack: contextlib.AsyncExitStack
    ) -> BinaryIO:
        spool = stack.enter_context(Spool())
        async for data in chained(head, stream):
            await self._threads.run(spool.write, data)
        return spool.file

    async def _with_ffmpeg(self, source: Source, reading: Reading) -> AsyncIterator[Samples]:
        if self._ffmpeg is None:
            raise _needs_ffmpeg()
        await reading.stack.enter_async_context(self._processes.slots)
        return await _entered(
            self._ffmpeg.blocks(source, reading.damage, reading.track, reading.is_split),
            reading.stack,
        )

    async def _with_soundfile(
        self, decoder: SoundfileDecoder, file: BinaryIO, reading: Reading
    ) -> AsyncGenerator[Samples]:
        decoded = 0
        reading.damage.declared = decoder.seconds
        while not decoder.has_ended:
            try:
                block = await self._run(decoder.read)
            except soundfile.LibsndfileError as error:
                log.info("audio damaged, ffmpeg decodes the rest: %s", error)
                reading.damage.note(str(error))
                break
            decoded += len(block)
            yield block
        else:
            return
        if self._ffmpeg is None and decoded:
            return
        rest = await self._with_ffmpeg(from_start(file), reading)
        async for block in without_first(decoded, rest):
            yield block

    async def _with_wave(
        self, header: Header, stream: AsyncIterator[bytes], reading: Reading
    ) -> AsyncGenerator[Samples]:
        reading.damage.declared = header.seconds
        decoder = WaveDecoder(header, reading.is_split)
        held = b""
        async for data in stream:
            held += decoder.sound(data)
            while len(held) > header.second_bytes:
                block, held = held[: header.block_bytes], held[header.block_bytes :]
                yield await self._run(decoder.push, block, False)
        if held or decoder.holds_back:
            yield await self._run(decoder.push, held, True)

    async def _run(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Run a decoder's function in a thread.

        Raises:
            OutOfResources: there is no memory for it.
            DecoderFailed: it failed in a way that no damaged audio explains.
        """
        try:
            return await self._threads.run(function, *arguments)
        except (AsrError, soundfile.LibsndfileError):
            raise
        except Exception as error:  # the boundary of the libraries that decode
            if (exhausted := run_out(error, "the audio cannot be decoded")) is not None:
                raise exhausted from error
            log.exception("a decoder failed")
            raise DecoderFailed(
                f"the audio decoder failed ({type(error).__name__}): re-encode the file"
            ) from error


def _mp3_seconds(file: BinaryIO) -> float | None:
    file.seek(0)
    return mp3.seconds(file.read(HEAD_BYTES))


def _needs_ffmpeg() -> UnsupportedMedia:
    return UnsupportedMedia(
        f"this server has no ffmpeg to decode the audio: send {WITHOUT_FFMPEG}, or install ffmpeg "
        "on the server"
    )


def needs_seeking(head: bytes) -> bool:
    """Whether this begins an mp4 or QuickTime file whose data comes before its index."""
    place = 0
    for _ in range(MAX_BOXES):
        if place + 8 > len(head):
            break
        size, kind = struct.unpack_from(">I4s", head, place)
        if kind == b"moov":
            return False
        if kind == b"mdat":
            return True
        if kind not in {b"ftyp", b"free", b"skip", b"wide", b"uuid", b"pnot", b"styp"}:
            return False
        if size < 8:
            return True
        place += size
    return place > 0


async def _entered(
    blocks: AsyncGenerator[Samples], stack: contextlib.AsyncExitStack
) -> AsyncGenerator[Samples]:
    return await stack.enter_async_context(contextlib.aclosing(blocks))


async def _head(stream: AsyncIterator[bytes]) -> tuple[bytes, bool]:
    """Read the first bytes of `stream`, more of some formats; also whether that is all."""
    head = await read_at_least(stream, HEAD_BYTES)
    if not head:
        raise BadAudio("the body is empty: send the bytes of an audio file")
    wanted = max(HEAD_BYTES, bytes_in_memory(head))
    head += await read_at_least(stream, wanted - len(head))
    return head, len(head) < wanted
