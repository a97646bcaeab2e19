"""WAV in pieces is what libsndfile makes of the whole file; what is not plain is left to others."""

from __future__ import annotations

import contextlib
import io
import struct
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from asr.audio.decoder import Decoder
from asr.audio.wav import FORMATS, MAX_CHUNKS, WaveDecoder, read_header
from asr.errors import BadAudio, TooLarge
from asr.pcm import SAMPLE_RATE
from tests.conftest import tone, wav
from tests.support.sounds import assert_is_the_sweep, decoded, encoded, stream, sweep

CHUNK = struct.Struct("<4sI")
FIELDS = struct.Struct("<HHIIHH")  # format, channels, rate, bytes per second and frame, bits


def chunk(name: bytes, content: bytes) -> bytes:
    return CHUNK.pack(name, len(content)) + content + b"\0" * (len(content) % 2)


def file_of(*chunks: bytes, kind: bytes = b"RIFF") -> bytes:
    return kind + struct.pack("<I", 4 + sum(map(len, chunks))) + b"WAVE" + b"".join(chunks)


def form(
    kind: int = 1,
    channels: int = 1,
    bits: int = 16,
    frame: int | None = None,
    rate: int = SAMPLE_RATE,
) -> bytes:
    size = channels * bits // 8 if frame is None else frame
    return chunk(b"fmt ", FIELDS.pack(kind, channels, rate, SAMPLE_RATE * size, size, bits))


def integers(samples: np.ndarray) -> bytes:
    return np.rint(samples * 32_768).astype("<i2").tobytes()


def in_pieces(data: bytes, size: int) -> np.ndarray:
    header = read_header(data)
    assert header is not None
    decoder = WaveDecoder(header)
    parts = [decoder.sound(data[place : place + size]) for place in range(0, len(data), size)]
    return np.concatenate([*(decoder.push(part, False) for part in parts), decoder.push(b"", True)])


@pytest.mark.parametrize("subtype", sorted(set(FORMATS.values())))
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("kind", ["WAV", "WAVEX"])
def test_every_plain_format_is_what_libsndfile_reads(
    subtype: str, channels: int, kind: str
) -> None:
    both = np.stack([sweep(0.2), 0.5 * sweep(0.2)], axis=1)[:, :channels]
    file = io.BytesIO()
    soundfile.write(file, both, SAMPLE_RATE, subtype, format=kind)
    file.seek(0)
    expected = soundfile.read(file, dtype="float32", always_2d=True)[0].mean(axis=1)
    assert np.abs(in_pieces(file.getvalue(), 4097) - expected).max() < 1e-7


@given(size=st.integers(1, 3000))
def test_pieces_of_any_size_are_the_same_sound(size: int) -> None:
    data = wav(np.stack([tone(0.05), sweep(0.05)], axis=1))
    assert np.array_equal(in_pieces(data, size), in_pieces(data, len(data)))


@given(data=st.binary(max_size=200), named=st.booleans())
def test_no_bytes_are_a_failure(data: bytes, named: bool) -> None:
    read_header(file_of(form(), data) if named else b"RIFF\0\0\0\0WAVE" + data)


@pytest.mark.parametrize("seconds", [1.0, 60.0])
async def test_chunks_around_the_samples_are_no_sound(decoder: Decoder, seconds: float) -> None:
    loud = b"\x7f" * 5001
    samples = integers(tone(seconds))
    data = file_of(
        chunk(b"JUNK", loud), form(), chunk(b"LIST", loud), chunk(b"data", samples),
        chunk(b"id3 ", loud * 50),
    )  # fmt: skip
    assert integers(await decoded(decoder, stream(data, 60_000))) == samples


async def test_an_rf64_file_ends_where_its_long_size_says(decoder: Decoder) -> None:
    samples = integers(tone(60.0))
    sizes = struct.pack("<QQQI", 2**40, len(samples), len(samples) // 2, 0)
    data = file_of(
        chunk(b"ds64", sizes), form(), CHUNK.pack(b"data", 0xFFFFFFFF) + samples,
        chunk(b"LIST", b"\x7f" * 5000),
        kind=b"RF64",
    )  # fmt: skip
    assert integers(await decoded(decoder, stream(data, 60_000))) == samples


async def test_a_wav_that_breaks_off_is_decoded_as_far_as_it_goes(decoder: Decoder) -> None:
    data = wav(tone(60.0))
    for length in (44 + 320, 44 + 100_001, 1_500_000):
        begun = await decoded(decoder, stream(data[:length]))
        assert len(begun) == (length - 44) // 2


@pytest.mark.parametrize(
    "head",
    [
        form(kind=2),  # ADPCM
        form(kind=0x55),  # MP3
        form(channels=0),
        form(channels=3),
        form(bits=12),
        form(frame=0),
        form(frame=3),
        form(kind=3, bits=16),
        form(rate=999),
        form(rate=768_001),
        form()[:20],
        b"",
    ],
    ids=range(12),
)
def test_what_is_not_plain_is_left_to_others(head: bytes) -> None:
    assert read_header(file_of(head, chunk(b"data", bytes(1000)))) is None


@pytest.mark.parametrize("name", ["adpcm.wav", "ima.wav", "mp3.wav", "surround.wav"])
def test_packed_samples_and_many_channels_are_left_to_others(name: str) -> None:
    assert read_header(encoded(name)) is None


async def test_a_list_of_chunks_without_end_is_left_to_others(decoder: Decoder) -> None:
    def listed(count: int) -> bytes:
        samples = chunk(b"data", integers(tone(1.0)))
        return file_of(*[chunk(b"JUNK", b"")] * (count - 2), form(), samples)

    assert read_header(listed(MAX_CHUNKS)) is not None
    assert read_header(listed(MAX_CHUNKS + 1)) is None
    assert len(await decoded(decoder, stream(listed(MAX_CHUNKS + 1)))) == SAMPLE_RATE


async def test_a_rate_of_no_recorder_is_not_taken_at_its_word(decoder: Decoder) -> None:
    """A second of it would be held until it is whole: all that is ever sent."""
    data = file_of(form(rate=2**31 - 1), chunk(b"data", bytes(2_000_000)))
    for source in (stream(data, 60_000), io.BytesIO(data)):
        with pytest.raises(BadAudio):
            await decoded(decoder, source)


def test_a_block_has_ten_seconds_or_as_much_as_a_high_rate_allows() -> None:
    header = read_header(wav(tone(0.1)))
    assert header is not None
    assert header.block_bytes == 10 * SAMPLE_RATE * 2
    fast = replace(header, rate=768_000)
    assert (fast.block_bytes, fast.second_bytes) == (2_000_000, 200_000)


@pytest.mark.parametrize(("rate", "channels"), [(1, 1), (10, 2), (2**31 - 1, 1), (16_000, 65_535)])
async def test_absurd_wav_headers_cost_little(rate: int, channels: int) -> None:
    decoder = Decoder(max_seconds=600, processes=1)
    data = b"\x80" * 65_536
    align = channels & 0xFFFF
    header = struct.pack(
        "<4sI8sIHHIIHH4sI",
        *(b"RIFF", 36 + len(data), b"WAVEfmt ", 16, 1, channels, rate),
        *(rate * channels & 0xFFFFFFFF, align, 8, b"data", len(data)),
    )
    tracemalloc.start()
    with contextlib.suppress(BadAudio, TooLarge):
        await decoded(decoder, stream(header + data))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 128 * 2**20
    decoder.close()


@pytest.mark.parametrize("bits", ["float32.wav", "float64.wav"])
async def test_values_that_are_no_sound_do_not_spread(decoder: Decoder, bits: str) -> None:
    data = bytearray(encoded(bits))
    kind = "<f" if bits == "float32.wav" else "<d"
    start = data.index(b"data") + 8
    size = struct.calcsize(kind)
    values = (np.nan, np.inf, -np.inf, 3e38)
    for index, value in enumerate(values):
        struct.pack_into(kind, data, start + (100 + index) * size, value)
    samples = await decoded(decoder, stream(bytes(data)))
    assert np.all(np.isfinite(samples))
    assert np.max(np.abs(samples)) <= 1.0
    assert_is_the_sweep(samples)


async def test_infinities_in_both_channels_are_no_failure(decoder: Decoder) -> None:
    both = np.stack([np.full(1600, np.inf), np.full(1600, -np.inf)], axis=1)
    samples = await decoded(decoder, stream(wav(both, subtype="FLOAT")))
    assert len(samples) == 1600
    assert np.all(np.isfinite(samples))
