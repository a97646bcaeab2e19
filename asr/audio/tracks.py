"""The tracks of a container, the channels of a track, its part: which there are and are meant."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass

from asr.audio.damage import Damage
from asr.errors import BadAudio, BadRequest
from asr.options import AudioPart, Channels
from asr.pcm import SAMPLE_RATE, Samples
from asr.text import printable, quoted

LONGEST_TITLE = 60  # Of a track's title at most so many characters are shown.
MOST_SPLIT = 8  # Each by itself, a recording's channels are transcribed if they are no more.
MOST_LISTED = 20  # At most so many tracks are listed.
# How ffmpeg describes an audio stream; newer versions say more at the end.
STREAM = re.compile(r"  Stream #0:(\d+)(?:\[0x[0-9a-f]+\])?(?:\((\w+)\))?: Audio: (.*)")
FORMAT = re.compile(r"(\d+) Hz, ([^,]+)(?:, (\w+))?")  # rate, channels, type of a sample
COUNT = re.compile(r"(\d+) channels")
NUMBERS = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(?:\(.*\))?$")  # as in 5.1(side): of each kind
LAYOUTS = {"mono": 1, "stereo": 2, "downmix": 2, "quad": 4, "quad(side)": 4, "hexagonal": 6}
LAYOUTS |= {"octagonal": 8, "cube": 8, "hexadecagonal": 16}
NO_CODEC = "none"  # This stands for a codec that ffmpeg does not know.


@dataclass
class AudioTrack:
    """One audio track, as ffmpeg describes it."""

    stream: int  # its number among all streams
    codec: str
    language: str  # ISO 639-2; "" where it is unknown
    channels: int  # 0 where that is unknown
    is_default: bool
    title: str = ""
    rate: int = 0  # samples per second; 0 where it is unknown
    sample: str = ""  # the type of a sample, in ffmpeg's words

    @property
    def has_sound(self) -> bool:
        """Whether it can be decoded, by what is known of it."""
        return self.codec != NO_CODEC

    def __str__(self) -> str:
        title = quoted(self.title[:LONGEST_TITLE]) if self.title else ""
        return ", ".join(filter(None, [self.codec, self.language, title]))


def read_track(line: str) -> AudioTrack | None:
    """Read the line that describes a stream; None for streams without audio."""
    if (found := STREAM.match(line)) is None:
        return None
    number, language, text = found.groups()
    rate, layout, sample = ("0", "", None)
    if (described := FORMAT.search(text)) is not None:
        rate, layout, sample = described.groups()
    return AudioTrack(
        int(number),
        printable(re.split(r"[ ,]", text, maxsplit=1)[0]),
        "" if language in {None, "und"} else printable(language),
        _channels(layout.split(" (")[0].strip()),
        "(default)" in text,
        rate=int(rate),
        sample=sample or "",
    )


def _channels(layout: str) -> int:
    if (count := COUNT.match(layout)) is not None:
        return int(count[1])
    if (numbers := NUMBERS.match(layout)) is not None:
        return sum(int(number) for number in numbers.groups() if number)
    return LAYOUTS.get(layout, 0)


def chosen(tracks: Sequence[AudioTrack]) -> int:
    """The track that is meant where none was asked for: the default one, or the first with sound.

    Args:
        tracks: of one container, in its order.
    """
    sounding = [number for number, track in enumerate(tracks) if track.has_sound]
    defaults = [number for number in sounding if tracks[number].is_default]
    return [*defaults, *sounding, 0][0]


def channel_count(tracks: Sequence[AudioTrack], number: int) -> int:
    """How many channels one of the tracks has.

    Raises:
        BadAudio: nobody knows it.
    """
    known = tracks[number].channels if number < len(tracks) else 0
    if tracks and not known:
        raise BadAudio(
            "the number of the audio's channels is not known: leave channels out, or send WAV"
        )
    return known or 1  # of a file without tracks nothing is decoded


def missing(asked: int, tracks: Sequence[AudioTrack]) -> BadRequest:
    """The refusal of a track that is not there; it lists those that are."""
    listed = [f"{number} ({track})" for number, track in enumerate(tracks[:MOST_LISTED])]
    if len(tracks) > MOST_LISTED:
        listed.append("…")
    return BadRequest(
        f"the audio has no audio_track {asked}: choose one of {', '.join(listed)}, or leave "
        "audio_track out",
        "audio_track",
    )


def require_first(asked: int | None, codec: str) -> None:
    """Check the track asked for of a format that has one only.

    Raises:
        BadRequest: it is another one.
    """
    if asked:
        raise missing(asked, [AudioTrack(0, codec, "", 0, is_default=True)])


def chosen_channels(block: Samples, asked: Channels) -> Samples:
    """Of a block, [samples, channels], those that are asked for.

    Returns:
        [samples, channels] where they are split, else [samples].

    Raises:
        BadRequest: there is no such channel, or there are too many to be split.
    """
    count = block.shape[1]
    if isinstance(asked, int):
        if asked >= count:
            known = "0" if count == 1 else f"a number from 0 to {count - 1}"
            raise BadRequest(
                f"the audio has no channel {asked}, because it has {count}: send {known}, or leave "
                "channels out",
                "channels",
            )
        return block[:, asked].copy()  # a view would keep all channels in memory
    if count > MOST_SPLIT:
        raise BadRequest(
            f"the audio has {count} channels, and at most {MOST_SPLIT} can be split: send the "
            "number of one, from 0, or leave channels out",
            "channels",
        )
    return block


async def part_of(
    blocks: AsyncGenerator[Samples], part: AudioPart | None, damage: Damage
) -> AsyncGenerator[Samples]:
    """Yield those of the blocks that are in the part; read nothing after it.

    Blocks are [samples] or [samples, channels].

    Args:
        damage: of the recording; in the end it is that of the part.

    Raises:
        BadRequest: the recording ends before the part begins.
    """
    async with contextlib.aclosing(blocks):
        if part is None:
            async for block in blocks:
                yield block
            return
        first, place = round(part.start * SAMPLE_RATE), 0
        last = None if part.end is None else max(first + 1, round(part.end * SAMPLE_RATE))
        async for block in blocks:
            begin, place = place, place + len(block)
            if place > first:
                yield block[max(0, first - begin) : None if last is None else last - begin]
            if last is not None and place >= last:
                damage.declared = None  # the rest is not missed
                return
    if place <= first:
        raise BadRequest(
            f"the part begins at {part.start:g} s, and the audio lasts only "
            f"{place / SAMPLE_RATE:.1f} s: send an earlier start",
            "start",
        )
    damage.decoded -= part.start
    if damage.declared is not None:
        damage.declared = max(0.0, damage.declared - part.start)


async def without_first(count: int, blocks: AsyncIterator[Samples]) -> AsyncGenerator[Samples]:
    """Yield `blocks` without their first `count` samples; `blocks` may fail before these."""
    try:
        async for block in blocks:
            yield block[count:]
            count = max(0, count - len(block))
    except BadAudio:
        if not count:
            raise
