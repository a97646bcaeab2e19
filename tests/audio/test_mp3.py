"""MP3 decoded in the process is what ffmpeg makes of it; anything damaged is left to ffmpeg."""

from __future__ import annotations

import io
import random
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.audio import mp3
from asr.audio.decoder import Decoder
from asr.audio.libsndfile import opened_by_soundfile
from asr.pcm import SAMPLE_RATE
from tests.support.sounds import decoded, ffmpeg, stream

KINDS = {
    "constant": "-b:a 64k -ar 16000",
    "variable": "-q:a 4 -ar 44100 -ac 2",
    "joint": "-b:a 96k -ar 48000 -ac 2 -joint_stereo 1",
    "apart": "-b:a 96k -ar 32000 -ac 2 -joint_stereo 0",
    "narrow": "-b:a 16k -ar 8000",
    "oldest": "-b:a 32k -ar 11025 -write_xing 0",
    "untold": "-b:a 64k -ar 24000 -write_xing 0 -id3v2_version 0",
    "tagged": "-b:a 64k -write_id3v1 1 -metadata title=A -metadata artist=B",
    "alone": "-b:a 64k -reservoir 0",
}


def encoded(options: str, *before: str) -> bytes:
    return ffmpeg(*before, "-i", "sweep.wav", *options.split(), name="a.mp3")


@pytest.fixture(scope="module")
def plain() -> bytes:
    return encoded(KINDS["constant"])


@pytest.mark.parametrize("kind", KINDS)
async def test_it_sounds_as_by_ffmpeg(
    decoder: Decoder, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(KINDS[kind])
    assert mp3.frames(data) is not None
    here = await decoded(decoder, stream(data))
    monkeypatch.setattr("asr.audio.mp3.frames", lambda _: None)
    there = await decoded(decoder, stream(data))
    length = min(len(here), len(there))
    assert length >= 3 * SAMPLE_RATE - 1
    assert np.abs(here[:length] - there[:length]).max() < 0.02
    assert np.abs(there[length:]).max(initial=0) < 0.05  # padding that ffmpeg leaves on


async def test_no_process_is_started_for_it(
    decoder: Decoder, plain: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncio.create_subprocess_exec", None)
    for source in (stream(plain), io.BytesIO(plain)):
        assert len(await decoded(decoder, source)) == 3 * SAMPLE_RATE


def test_the_length_that_the_first_frame_declares_is_read() -> None:
    head = encoded(KINDS["variable"], "-stream_loop", "199")[:4096]
    assert mp3.seconds(head) == pytest.approx(600, abs=0.1)
    frames = head[mp3.tag_bytes(head) :]
    assert mp3.seconds(frames) == mp3.seconds(head)
    assert mp3.seconds(frames[1000:]) is None
    assert mp3.seconds(head[:40]) is None
    assert mp3.seconds(b"OggS" + frames) is None


def test_tags_are_left_out(plain: bytes) -> None:
    frames = mp3.frames(plain)
    assert frames is not None
    picture = b"ID3\x04\0\x10\0\0\x40\0" + b"\xff\xfb" * 4096 + b"3DI\x04\0\x10\0\0\x40\0"
    assert mp3.frames(picture + frames + b"TAG" + bytes(125)) == frames
    assert mp3.frames(frames + b"APETAGEX" + bytes(24)) == frames


@pytest.mark.parametrize(
    "changed",
    {
        "broken off": lambda data: data[:-1],
        "a hole": lambda data: data[:8000] + bytes(100) + data[8000:],
        "a byte too few": lambda data: data[:8000] + data[8001:],
        "noise behind": lambda data: data + random.Random(0).randbytes(3000),
        "noise ahead": lambda data: random.Random(0).randbytes(3000) + data,
        "twice": lambda data: data * 2,
        "frames missing": lambda data: data[: len(data) - 288 * 3],
        "another rate": lambda data: data + encoded("-b:a 64k -ar 24000 -write_xing 0"),
        "another kind": lambda data: data + encoded("-b:a 64k -ar 16000 -ac 2 -write_xing 0"),
        "one frame": lambda data: data[mp3.tag_bytes(data) :][:288],
        "a tag alone": lambda data: data[: mp3.tag_bytes(data)],
        "nothing": lambda _: b"",
    }.items(),
    ids=lambda item: item[0],
)
def test_what_is_not_whole_is_left_to_ffmpeg(changed: tuple, plain: bytes) -> None:
    assert mp3.frames(changed[1](plain)) is None


def test_a_count_that_is_not_true_is_left_to_ffmpeg(plain: bytes) -> None:
    place = max(plain.find(b"Info"), plain.find(b"Xing"))
    flags, count = struct.unpack_from(">II", plain, place + 4)
    assert flags & 1
    lying = bytearray(plain)
    struct.pack_into(">I", lying, place + 8, count // 2)
    assert mp3.frames(bytes(lying)) is None


@given(seed=st.integers(0, 2**32))
@settings(max_examples=30)
def test_damage_within_frames_is_decoded_through(seed: int, plain: bytes) -> None:
    noise = random.Random(seed)
    damaged = bytearray(plain)
    start = mp3.tag_bytes(plain) + 288 * 2  # frames of 288 bytes; the first one tells of all
    for _ in range(50):
        place = noise.randrange(start, len(plain))
        if (place - start) % 288 >= mp3.HEADER_BYTES:
            damaged[place] = noise.randrange(256)
    assert mp3.frames(bytes(damaged)) is not None
    sound = opened_by_soundfile(io.BytesIO(bytes(damaged)))
    assert sound is not None
    assert len(sound.read()) == 3 * SAMPLE_RATE
    sound.close()


@given(data=st.binary(max_size=600), head=st.sampled_from([b"", b"ID3\4\0\0", b"\xff\xf3\x40\xc4"]))
def test_no_bytes_are_a_failure(data: bytes, head: bytes) -> None:
    mp3.frames(head + data)
    assert mp3.bytes_of(35, head + data) >= 0


def test_no_more_is_held_than_a_window_or_so(plain: bytes) -> None:
    assert mp3.bytes_of(30, plain) == pytest.approx(30 * 64_000 / 8, rel=0.01)
    assert mp3.bytes_of(30, b"OggS" + bytes(1000)) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_three_frames_in_a_row_are_mp3(kind: str) -> None:
    data = encoded(KINDS[kind])
    frames = data[mp3.tag_bytes(data) :]
    assert mp3.begins_with_frames(frames)
    for cut in (frames[:4], frames[1:], b"\xff\xfb" * 4000, b""):
        assert not mp3.begins_with_frames(cut)
