"""libsndfile decodes what ffmpeg decodes, and FLAC as far as it is whole."""

from __future__ import annotations

import tempfile

import numpy as np
import pytest

from asr.audio.decoder import Decoder
from benchmark.recordings import flac
from tests.conftest import RATE
from tests.support.sounds import (
    decoded,
    encoded,
    stream,
    sweep,
)


@pytest.mark.parametrize("seconds", [4.0, 24.0])  # damaged in the first block, and in the second
async def test_a_flac_that_is_cut_off_is_decoded_to_where_it_ends(
    decoder: Decoder, seconds: float
) -> None:
    whole = sweep(seconds)
    data = flac(whole)
    samples = await decoded(decoder, stream(data[: len(data) * 6 // 10]))
    assert 0.5 < len(samples) / len(whole) < 0.7
    assert np.max(np.abs(samples - whole[: len(samples)])) < 1e-3


@pytest.mark.parametrize("seconds", [4.0, 24.0])
async def test_what_follows_a_hole_in_a_flac_is_decoded(decoder: Decoder, seconds: float) -> None:
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


@pytest.mark.parametrize("name", ["pcm16.wav", "studio.wav", "stereo.flac", "speech.mp3"])
async def test_soundfile_and_ffmpeg_agree(
    decoder: Decoder, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_process = await decoded(decoder, stream(encoded(name)))
    monkeypatch.setattr("asr.audio.decoder.bytes_in_memory", lambda _: 0)
    monkeypatch.setattr("asr.audio.decoder.read_header", lambda _: None)
    by_ffmpeg = await decoded(decoder, stream(encoded(name)))
    length = min(len(in_process), len(by_ffmpeg))
    assert abs(len(in_process) - len(by_ffmpeg)) <= 160
    assert np.max(np.abs(in_process[:length] - by_ffmpeg[:length])) < 0.02
