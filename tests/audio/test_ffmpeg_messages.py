"""Of ffmpeg's messages the length, the errors and their reason are known, and no more is kept."""

from __future__ import annotations

import asyncio

import pytest

from asr.audio.ffmpeg_messages import KEPT_BYTES, Messages
from asr.audio.timeline import ClockMark

INPUT = """\
[info] Input #0, mp3, from 'pipe:0':
[info]   Metadata:
[info]     comment         : first
                    : second [error] line
[info]   Duration: 01:10:02.50, start: 0.023021, bitrate: 64 kb/s
[info]   Stream #0:0: Audio: mp3, 48000 Hz, mono, fltp, 64 kb/s
[info]   Stream #0:1: Video: png, rgb24(pc), 64x64, 90k tbr (attached pic)
[info] Stream mapping:
[info]   Stream #0:0 -> #0:0 (mp3 (mp3float) -> pcm_s16le (native))
[info] Output #0, s16le, to 'pipe:1':
[info]   Stream #0:0: Audio: pcm_s16le, 16000 Hz, mono, s16, 256 kb/s
"""


def read(text: str) -> Messages:
    messages = Messages()
    for line in text.encode().split(b"\n"):
        messages.take(line)
    return messages


def test_the_declared_length_is_read() -> None:
    messages = read(INPUT)
    assert messages.declared == 4202.5
    assert (messages.errors, messages.complains, messages.is_film) == ("", False, False)


@pytest.mark.parametrize(
    "line",
    [
        "[mp3 @ 0x5] [warning] Estimating duration from bitrate, this may be inaccurate",
        "[info]   Stream #0:2(und): Video: h264, 64x64",
    ],
)
def test_a_length_that_may_be_wrong_is_not_taken(line: str) -> None:
    first, rest = INPUT.split("\n", 1)
    assert read(f"{first}\n{line}\n{rest}").declared is None
    assert read("[info] Input #0, ogg, from 'pipe:0':\n[info]   Duration: N/A").declared is None


def test_the_container_and_its_tracks_are_read() -> None:
    messages = read(
        "[info] Input #0, matroska,webm, from 'pipe:0':\n"
        "[info]   Metadata:\n"
        "[info]     title           : A film\n"
        "[info]   Duration: 00:10:02.50, start: -0.007000, bitrate: 64 kb/s\n"
        "[info]   Stream #0:0: Video: h264, 64x64\n"
        "[info]   Stream #0:2(fra): Audio: opus, 48000 Hz, stereo, fltp (default)\n"
        "[info]     Metadata:\n"
        "[info]       title           : Doublage\n"
        "[info]   Stream #0:1(eng): Audio: aac (LC), 48000 Hz, 5.1, fltp\n"
        "[info] Stream mapping:\n"
        "[info]   Stream #0:9: Audio: none\n"
    )
    assert (messages.format, messages.start) == ("matroska,webm", -0.007)
    assert [str(track) for track in messages.tracks] == ["aac, eng", "opus, fra, 'Doublage'"]
    assert messages.is_film


def test_the_times_of_frames_are_taken_once_and_in_pairs() -> None:
    mark = "[Parsed_asetpts_0 @ 0x5] [Eval @ 0x7f] [info] {:.6f}"
    messages = read("\n".join([INPUT, *map(mark.format, (0.0, 4.087, 12.5))]))
    assert messages.taken_marks() == [ClockMark(0.0, 4.087)]
    assert messages.taken_marks() == []
    messages.take(mark.format(14.25).encode())
    assert messages.taken_marks() == [ClockMark(12.5, 14.25)]


def test_a_number_in_the_description_of_the_input_is_no_time() -> None:
    messages = read("[info] Input #0, ogg, from 'pipe:0':\n[info] 1.000000\n[info] 2.000000")
    assert messages.taken_marks() == []


def test_the_last_error_is_the_reason_without_where_it_came_from() -> None:
    messages = read(
        "[mp3float @ 0x5] [error] Header missing\n"
        "[aist#0:0/mp3 @ 0x6] [dec:mp3float @ 0x7] [error] Error submitting packet\n"
        "[error] pipe:0: Invalid data found"
    )
    assert (
        messages.errors == "Header missing\nError submitting packet\npipe:0: Invalid data found\n"
    )
    assert messages.reason == "Invalid data found"
    assert messages.complains


def test_a_message_of_another_program_is_kept_apart() -> None:
    messages = read("sh: 1: ffmpeg: not found")
    assert (messages.other, messages.errors) == ("sh: 1: ffmpeg: not found", "")
    assert read(INPUT).other == ""


async def test_messages_without_end_are_read_and_not_kept() -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(b"[error] " + b"x" * 100_000 + b"\n" + b"[error] again\n" * 10_000)
    stream.feed_eof()
    messages = await Messages().read(stream)
    assert len(messages.errors) == KEPT_BYTES
