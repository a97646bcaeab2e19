"""The audio tracks of a container are read, chosen and named as ffmpeg describes them."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import numpy as np
import pytest

from asr.audio.damage import Damage
from asr.audio.tracks import (
    MOST_SPLIT,
    AudioTrack,
    channel_count,
    chosen,
    chosen_channels,
    missing,
    part_of,
    read_track,
    require_first,
)
from asr.errors import BadAudio, BadRequest
from asr.options import AudioPart
from asr.pcm import SAMPLE_RATE, Samples

KIND = "Audio: aac (LC) (mp4a / 0x6134706D), 48000 Hz, {}, fltp, 128 kb/s"


def track(codec: str = "aac", channels: int = 2, is_default: bool = False) -> AudioTrack:
    return AudioTrack(0, codec, "", channels, is_default)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"  Stream #0:1[0x2](eng): {KIND.format('stereo')} (default)", (1, "aac", "eng", 2, True)),
        (f"  Stream #0:2(und): {KIND.format('mono')}", (2, "aac", "", 1, False)),
        ("  Stream #0:0: Audio: opus, 48000 Hz, 5.1(side), fltp, start 4.087000 (default)",
         (0, "opus", "", 6, True)),
        ("  Stream #0:3[0x100](fra): Audio: mp2 ([3][0][0][0] / 0x0003), 48000 Hz, mono, fltp",
         (3, "mp2", "fra", 1, False)),
        ("  Stream #0:2[0x3](und): Audio: none (apac / 0x63617061), 48000 Hz, 4 channels, 320 kb/s",
         (2, "none", "", 4, False)),
        ("  Stream #0:0: Audio: pcm_s16le, 16000 Hz, 6 channels (FL+FR+FC+LFE+SL+SR), s16",
         (0, "pcm_s16le", "", 6, False)),
        ("  Stream #0:0: Audio: amr_nb, 8000 Hz, something new, flt", (0, "amr_nb", "", 0, False)),
        ("  Stream #0:0: Audio: mp3, 0 channels", (0, "mp3", "", 0, False)),
    ],
)  # fmt: skip
def test_a_track_is_read(line: str, expected: tuple[object, ...]) -> None:
    found = read_track(line)
    assert found is not None
    fields = (found.stream, found.codec, found.language, found.channels, found.is_default)
    assert fields == expected


@pytest.mark.parametrize(
    ("layout", "channels"),
    [("2.1", 3), ("quad", 4), ("5.1", 6), ("7.1(wide)", 8), ("5.1.4", 10), ("22.2", 24)],
)
def test_layouts_are_counted(layout: str, channels: int) -> None:
    found = read_track(f"  Stream #0:0: {KIND.format(layout)}")
    assert found is not None
    assert found.channels == channels


def test_other_streams_are_no_tracks() -> None:
    assert read_track("  Stream #0:0: Video: h264, yuv420p, 64x64 (default)") is None
    assert read_track("    Stream #0:0: Audio: a comment : of the file") is None


def test_the_default_track_is_chosen_or_else_the_first_with_sound() -> None:
    assert chosen([track(), track(is_default=True), track(is_default=True)]) == 1
    assert chosen([track(), track()]) == 0
    assert chosen([track("none"), track()]) == 1
    assert chosen([track("none", is_default=True), track()]) == 1
    assert chosen([track("none")]) == 0
    assert chosen([]) == 0


def test_a_track_that_is_not_there_is_refused_with_those_that_are() -> None:
    tracks = [
        AudioTrack(1, "aac", "eng", 2, is_default=True),
        AudioTrack(2, "ac3", "fra", 6, is_default=False, title="VO\n'x'" + 100 * "y"),
    ]
    refusal = missing(2, tracks)
    assert refusal.status == 400
    assert refusal.param == "audio_track"
    assert "no audio_track 2: choose one of 0 (aac, eng), 1 (ac3, fra, 'VO\ufffd" in refusal.message
    assert len(missing(9, tracks * 500).message) < 2000


def test_a_format_with_one_track_has_the_first_alone() -> None:
    require_first(None, "wav")
    require_first(0, "wav")
    with pytest.raises(BadRequest, match=r"no audio_track 1: choose one of 0 \(wav\)"):
        require_first(1, "wav")


async def in_blocks(*seconds: float) -> AsyncGenerator[Samples]:
    """Yield a ramp, whose samples are their own numbers, in blocks of so many seconds."""
    place = 0
    for length in seconds:
        count = round(length * SAMPLE_RATE)
        yield np.arange(place, place + count, dtype=np.float32)
        place += count


@pytest.mark.parametrize(
    ("part", "first", "last"),
    [
        (None, 0.0, 4.0),
        (AudioPart(), 0.0, 4.0),
        (AudioPart(1.0), 1.0, 4.0),
        (AudioPart(1.5, 1.75), 1.5, 1.75),
        (AudioPart(0.5, 3.5), 0.5, 3.5),
        (AudioPart(2.0, 9.0), 2.0, 4.0),
    ],
)
async def test_a_part_has_the_samples_between_its_times(
    part: AudioPart | None, first: float, last: float
) -> None:
    found = [block async for block in part_of(in_blocks(1.0, 2.0, 1.0), part, Damage())]
    expected = np.arange(round(first * SAMPLE_RATE), round(last * SAMPLE_RATE), dtype=np.float32)
    assert np.array_equal(np.concatenate(found), expected)


async def test_nothing_is_read_after_a_part_and_nothing_is_missed_there() -> None:
    damage = Damage(declared=100.0, decoded=2.0)
    blocks = in_blocks(1.0, 1.0, 1.0, 1.0)
    found = [block async for block in part_of(blocks, AudioPart(0.0, 1.5), damage)]
    assert [len(block) / SAMPLE_RATE for block in found] == [1.0, 0.5]
    assert [block async for block in blocks] == [], "the decoder is closed"
    assert damage.warnings == ()


async def test_what_is_missing_at_the_end_of_a_part_is_told_of_the_part() -> None:
    damage = Damage(declared=100.0, decoded=4.0)
    assert [block async for block in part_of(in_blocks(4.0), AudioPart(1.0), damage)]
    assert (damage.declared, damage.decoded, damage.missing) == (99.0, 3.0, 96.0)


async def test_a_part_behind_the_end_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"begins at 4 s, and the audio lasts only 4\.0 s"):
        [block async for block in part_of(in_blocks(4.0), AudioPart(4.0), Damage())]


def test_one_channel_is_taken_out_of_a_block_and_keeps_no_other_in_memory() -> None:
    block = np.arange(12, dtype=np.float32).reshape(4, 3)
    taken = chosen_channels(block, 1)
    assert taken.tolist() == [1, 4, 7, 10]
    assert taken.base is None
    assert chosen_channels(block, "split") is block


@pytest.mark.parametrize(
    ("count", "said"),
    [(1, "because it has 1: send 0,"), (2, "because it has 2: send a number from 0 to 1,")],
)
def test_a_channel_that_is_not_there_is_refused_with_how_many_there_are(
    count: int, said: str
) -> None:
    with pytest.raises(BadRequest, match="the audio has no channel 9, " + said) as refused:
        chosen_channels(np.zeros((4, count), np.float32), 9)
    assert refused.value.param == "channels"


def test_more_than_eight_channels_are_not_split_and_one_of_them_may_be_had() -> None:
    block = np.zeros((4, MOST_SPLIT + 1), np.float32)
    with pytest.raises(BadRequest, match="the audio has 9 channels, and at most 8 can be split"):
        chosen_channels(block, "split")
    assert chosen_channels(block, 8).shape == (4,)
    assert chosen_channels(block[:, 1:], "split").shape == (4, 8)


def test_a_number_of_channels_that_nobody_knows_is_no_guess() -> None:
    assert channel_count([track(channels=6)], 0) == 6
    assert channel_count([], 0) == 1  # there is no audio
    with pytest.raises(BadAudio, match="leave channels out"):
        channel_count([track(channels=0)], 0)
