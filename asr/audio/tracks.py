"""The audio tracks of a container, and the part of one: which there are, and what is meant."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from asr.audio.damage import Damage
from asr.errors import BadRequest
from asr.options import AudioPart
from asr.pcm import SAMPLE_RATE, Samples
from asr.text import printable, quoted

LONGEST_TITLE = 60  # Of a track's title at most so many characters are shown.
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


async def part_of(
    blocks: AsyncGenerator[Samples], part: AudioPart | None, damage: Damage
) -> AsyncGenerator[Samples]:
    """Yield those of the blocks, [samples] each, that are in the part; read nothing after it.

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
