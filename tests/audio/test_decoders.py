"""Samples that are no sound, headers that promise too much, and what ffmpeg may open."""

from __future__ import annotations

import contextlib
import struct
import tempfile
import tracemalloc

import numpy as np
import pytest

from asr.audio.decoder import Decoder
from asr.audio.ffmpeg import ffmpeg_command
from asr.errors import BadAudio, TooLarge
from benchmark.listening import flac
from tests.conftest import RATE, wav
from tests.support.sounds import assert_is_the_sweep, decoded, encoded, stream, sweep


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


def test_the_decoder_may_open_nothing_but_its_input() -> None:
    command = ffmpeg_command("pipe:0")
    formats = command[command.index("-format_whitelist") + 1].split(",")
    assert not {"hls", "concat", "dash", "sdp", "image2", "lavfi", "tee"} & set(formats)
    assert command[command.index("-protocol_whitelist") + 1] == "pipe,file"


@pytest.mark.parametrize("seconds", [4.0, 24.0])  # damaged in the first block, and in the second
async def test_a_flac_that_is_cut_off_is_heard_to_where_it_ends(
    decoder: Decoder, seconds: float
) -> None:
    whole = sweep(seconds)
    data = flac(whole)
    samples = await decoded(decoder, stream(data[: len(data) * 6 // 10]))
    assert 0.5 < len(samples) / len(whole) < 0.7
    assert np.max(np.abs(samples - whole[: len(samples)])) < 1e-3


@pytest.mark.parametrize("seconds", [4.0, 24.0])
async def test_what_follows_a_hole_in_a_flac_is_heard(decoder: Decoder, seconds: float) -> None:
    whole = sweep(seconds)
    data = bytearray(flac(whole))
    place = len(data) * 6 // 10
    data[place : place + 100] = bytes(100)
    with tempfile.TemporaryFile() as file:
        file.write(data)
        for source in (stream(bytes(data)), file):
            samples = await decoded(decoder, source)
            assert abs(len(samples) - len(whole)) < RATE
            end = RATE // 2
            assert np.max(np.abs(samples[-end:] - whole[-end:])) < 1e-3
            start = len(whole) // 2
            assert np.max(np.abs(samples[:start] - whole[:start])) < 1e-3
