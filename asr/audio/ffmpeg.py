"""Decodes audio with the program ffmpeg, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

import ffmpeg
import imageio_ffmpeg
import numpy as np

from asr.audio.damage import Damage
from asr.audio.ffmpeg_messages import LEVEL, Messages
from asr.audio.ffmpeg_process import FfmpegProcess, started
from asr.audio.streams import Rewindable, Source
from asr.audio.timeline import SHORTEST_SECONDS, Timeline, clock_start
from asr.audio.tracks import AudioTrack, channel_count, chosen, missing
from asr.concurrency import ThreadPool
from asr.pcm import (
    BLOCK_SECONDS,
    SAMPLE_RATE,
    ChannelMixer,
    Frames,
    Samples,
    floats_of,
    mixed_integers,
)

PROGRAM = "ffmpeg"  # The program is looked for by this name.
# At most so many bytes of 16-bit PCM are read at a time.
READ_BYTES = BLOCK_SECONDS * SAMPLE_RATE * 2
INLINE_BYTES = 64 * 1024  # So many are mixed in 0.3 ms: to hand them to a thread would cost more.
STALL_SECONDS = 60.0  # A decoder that neither reads nor writes for so many seconds is killed.

# ffmpeg's own layout of so many channels: version 5.1 merges no channels without one.
LAYOUTS = {1: "mono", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
MOST_NAMED = 8  # Audio with more channels has no layout for ffmpeg, and is mixed without it.
MOST_COMPARED = 16  # The channels of audio with more are not compared: their mean is taken.

# Gives every frame the time at which the one before it ends, and prints the position and the time
# of the first one, and of those where the clock jumps.
CLOCK = (
    f"asetpts='if(gte(abs(T-N/SR-ld(1)),{SHORTEST_SECONDS:g})+eq(N,0),"
    "st(1,T-N/SR);print(N/SR);print(T));round(N/SR/TB)'"
)

# Demuxers that read one stream and nothing else: no playlist, no script, no network.
FORMATS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dts,eac3,flac,flv,gsm,loas,"
    "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,ogg,rm,tta,w64,wav,wv,xwma,mxf"
)


def find_program(name: str = PROGRAM) -> str | None:
    """The path of ffmpeg, the system's or imageio-ffmpeg's; None where there is none to run."""
    if (found := shutil.which(name)) is not None or name != PROGRAM:
        return found
    try:
        bundled: str = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:  # it has none for this machine
        return None
    return shutil.which(bundled)


@dataclass(frozen=True)
class Selection:
    """What a process decodes: a track to its mix, and some of its channels to compare."""

    track: int  # among the audio tracks
    channels: int = 1  # of stereo the first one is enough: the mix tells the other
    is_usual: bool = True  # whether one conversion makes the mix that ffmpeg makes itself
    is_split: bool = False  # whether it decodes all channels, and no mix
    is_mixed_here: bool = False  # whether all of them are mixed then


class Ffmpeg:
    """Runs the program at a path; starts block the event loop and come one at a time.

    Args:
        threads: channels are mixed in them, if it is worth it.
        stall_seconds: a process that makes no progress for so long is killed.
    """

    def __init__(
        self, path: str, threads: ThreadPool, stall_seconds: float = STALL_SECONDS
    ) -> None:
        self._path = path
        self._threads = threads
        self._stall_seconds = stall_seconds
        self._starts = asyncio.Lock()

    async def blocks(
        self, source: Source, damage: Damage, track: int | None = None, is_split: bool = False
    ) -> AsyncGenerator[Samples]:
        """Decode one track of `source`; the process ends with the generator.

        Args:
            damage: gets what the program says of the bytes.
            track: its number among the audio tracks; None: the default one.
            is_split: whether blocks are [samples, channels] instead of [samples].

        Raises:
            BadAudio: the program writes no samples, and says why.
            BadRequest: there is no such track.
            DecoderFailed: it hangs, is killed, or ends without a reason.
            OutOfResources: it cannot be started now.
        """
        async with contextlib.AsyncExitStack() as stack:
            process, output, data = await self._begun(source, track, is_split, stack)
            count, is_last = 0, False
            while not is_last:
                is_last = not data
                mixed = await output.mixed(data, is_last, self._threads)
                for block in output.placed(mixed):
                    count += len(block)
                    yield block
                if not is_last:
                    data = await process.output(READ_BYTES, self._stall_seconds)
            await process.finish(count / SAMPLE_RATE, self._stall_seconds, damage)

    async def _begun(
        self,
        source: Source,
        track: int | None,
        is_split: bool,
        stack: contextlib.AsyncExitStack,
    ) -> tuple[FfmpegProcess, Output, bytes]:
        """Start the program, once more where it says that another selection is right.

        Returns:
            The process, the reader of its output, and the output's first bytes.
        """
        stream = None
        if isinstance(source, AsyncIterator):
            stream = source = Rewindable(source, self._threads)
            stack.push_async_callback(stream.aclose)
        selection = Selection(track or 0, is_split=is_split)
        process, data = await self._started(source, selection, stack)
        tracks = process.messages.tracks
        if tracks and track is not None and track >= len(tracks):
            raise missing(track, tracks)
        better = _selection(tracks, track, is_split)
        if better == selection or (stream is not None and not stream.can_begin_again):
            if stream is not None:
                stream.release()
            return process, Output(selection, process.messages), data
        await process.end()
        source = source if stream is None else stream.again()
        process, data = await self._started(source, better, stack)
        return process, Output(better, process.messages), data

    async def _started(
        self, source: Source, selection: Selection, stack: contextlib.AsyncExitStack
    ) -> tuple[FfmpegProcess, bytes]:
        """Start the program; return the process and its first output."""
        name = "pipe:0" if isinstance(source, AsyncIterator) else "/dev/stdin"
        command = ffmpeg_command(self._path, name, selection)
        async with self._starts:
            process = await started(command, source, 2 * READ_BYTES)
        stack.push_async_callback(process.end)
        return process, await process.output(READ_BYTES, self._stall_seconds)


class Output:
    """Turns what a process writes into blocks, at the times of its container.

    Args:
        selection: what the process decodes.
        said: what it says.
    """

    def __init__(self, selection: Selection, said: Messages) -> None:
        self._said = said
        self._is_split = selection.is_split and not selection.is_mixed_here
        self._columns = 1 + selection.channels
        if selection.is_split:
            self._columns = channel_count(said.tracks, selection.track)
        self._rest = b""  # of a frame
        self._mixer = _mixer(selection, said.tracks)
        self._plain = mixed_integers if selection.is_mixed_here else _first_column
        start = clock_start(said.format, said.start)
        self._timeline = None if start is None else Timeline(start)

    async def mixed(self, data: bytes, is_last: bool, threads: ThreadPool) -> Samples:
        """Mix the next bytes to [samples], or turn them to [samples, channels]."""
        data = self._rest + data if self._rest else data
        size = 2 * self._columns
        whole = len(data) // size * size
        self._rest = data[whole:]
        frames = np.frombuffer(data, "<i2", whole // 2).reshape(-1, self._columns)
        if self._is_split:
            return floats_of(frames)
        if self._mixer is None:
            return self._plain(frames)
        if len(data) <= INLINE_BYTES:
            return self._mixer.push(frames, is_last)
        return await threads.run(self._mixer.push, frames, is_last)

    def placed(self, block: Samples) -> Iterator[Samples]:
        """Give out the next block, and the silence that belongs before it and into it."""
        marks = self._said.taken_marks()
        if self._timeline is None:
            return iter([block])
        for mark in marks:
            self._timeline.mark(mark)
        return self._timeline.placed(block)


def _selection(tracks: Sequence[AudioTrack], track: int | None, is_split: bool) -> Selection:
    """What is to be decoded of a container with these tracks."""
    number = chosen(tracks) if track is None else track
    if not tracks or is_split:
        return Selection(number, is_split=is_split)
    meant = tracks[number]
    if meant.channels > MOST_NAMED:
        return Selection(number, is_split=True, is_mixed_here=True)
    is_usual = not (
        meant.channels > 2
        or meant.sample.startswith("dbl")
        or (meant.channels == 2 and 0 < meant.rate < SAMPLE_RATE)
        or (meant.channels == 2 and meant.rate == SAMPLE_RATE and not meant.sample.startswith("fl"))
    )
    return Selection(number, meant.channels if meant.channels > 2 else 1, is_usual)


def _mixer(selection: Selection, tracks: Sequence[AudioTrack]) -> ChannelMixer | None:
    """The mixer of what a process decodes; None where there is nothing to mix or to compare."""
    channels = tracks[selection.track].channels if selection.track < len(tracks) else 0
    if selection.is_split:
        is_ours = selection.is_mixed_here and channels <= MOST_COMPARED
        return ChannelMixer(SAMPLE_RATE) if is_ours else None
    if channels == 2:
        return ChannelMixer(SAMPLE_RATE, _first_column, _both_channels)
    if channels == selection.channels > 1:
        return ChannelMixer(SAMPLE_RATE, _first_column, _other_columns)
    return None


def _first_column(frames: Frames) -> Samples:
    return mixed_integers(frames[:, :1])


def _other_columns(frames: Frames) -> Frames:
    return frames[..., 1:]


def _both_channels(frames: Frames) -> Frames:
    """The channels of stereo, [..., 2], by their mix and the first one."""
    mix, first = frames[..., 0].astype(np.float32), frames[..., 1]
    return np.stack([first, 2 * mix - first], axis=-1)


@functools.lru_cache(32)
def ffmpeg_command(path: str, name: str, selection: Selection = Selection(0)) -> tuple[str, ...]:
    """The command that decodes `name` to 16-bit 16 kHz PCM on its standard output.

    Each frame has the mix of all channels and then the channels of the selection, or where they
    are split all channels alone.
    """
    source = ffmpeg.input(
        name, protocol_whitelist="pipe,file", format_whitelist=FORMATS, threads=1, copyts=None
    )
    output = source.output(
        "pipe:1",
        map=f"0:a:{selection.track}",
        vn=None,
        sn=None,
        dn=None,
        f="s16le",
        af=_filters(selection),
        flush_packets=0,  # a second at a time, not every frame of the codec
    )
    quiet = output.global_args("-nostdin", "-hide_banner", "-nostats", "-loglevel", LEVEL)
    return tuple(quiet.compile(cmd=path))


def _filters(selection: Selection) -> str:
    """ffmpeg's filters: its own mix bit for bit, and beside it some channels by their numbers.

    Usual audio is resampled and then mixed, as ffmpeg itself does it: the channel beside the mix
    costs next to nothing. Other audio goes both ways, and ffmpeg mixes it by ways of its own.
    """
    floats, integers = "aformat=sample_fmts=fltp", "aformat=sample_fmts=s16"
    rate = f":sample_rates={SAMPLE_RATE}"
    if selection.is_split:
        return f"{CLOCK},{integers}{rate}"
    if selection.is_usual:
        return f"{CLOCK},{floats}{rate},pan=2c|c0<c0+c1|c1=c0,{floats},{integers}"
    count = selection.channels
    numbered = "|".join(f"c{number}=c{number}" for number in range(count))
    layout = LAYOUTS.get(count, f"{count}c")
    named = f":channel_layouts={layout}" if count in LAYOUTS else ""
    return (
        f"{CLOCK},asplit[all][each];[all]{integers}{rate}:channel_layouts=mono[mix];"
        f"[each]pan={layout}|{numbered},{integers}{rate}{named}[channels];[mix][channels]amerge"
    )
