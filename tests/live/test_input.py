"""Bytes of a client become samples, however they are divided."""

import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.live.input import AudioInput, a_law, mu_law
from asr.live.options import LiveAudio
from tests.conftest import tone


def decoded_by_ffmpeg(data: bytes, name: str) -> np.ndarray:
    program = imageio_ffmpeg.get_ffmpeg_exe()
    how = ["-loglevel", "error", "-f", name, "-ar", "8000", "-ac", "1", "-i", "-", "-f", "s16le"]
    done = subprocess.run([program, *how, "-"], input=data, capture_output=True, check=True)
    return np.frombuffer(done.stdout, "<i2")


@pytest.mark.parametrize(("table", "name"), [(mu_law(), "mulaw"), (a_law(), "alaw")])
def test_every_byte_of_g711_is_the_sample_that_ffmpeg_makes_of_it(table, name):
    assert (table * 32768).tolist() == decoded_by_ffmpeg(bytes(range(256)), name).tolist()


@given(st.lists(st.integers(1, 7), min_size=1, max_size=60))
def test_samples_are_the_same_however_their_bytes_are_divided(sizes):
    data = np.arange(-60, 61, dtype="<i2").tobytes()
    stream = AudioInput(LiveAudio("pcm", 16_000))
    parts, place = [], 0
    for size in sizes:
        parts.append(stream.push(data[place : place + size]))
        place += size
    parts.append(stream.push(data[place:]))
    assert np.concatenate(parts).tolist() == (np.arange(-60, 61) / 32768).tolist()


@pytest.mark.parametrize("rate", [8_000, 22_050, 24_000, 48_000])
def test_a_tone_of_any_rate_is_the_same_tone_at_16_khz(rate):
    data = (tone(1.0, rate) * 32767).astype("<i2").tobytes()
    stream = AudioInput(LiveAudio("pcm", rate))
    parts = [stream.push(data[place : place + 999]) for place in range(0, len(data), 999)]
    samples = np.concatenate([*parts, stream.push(b"", is_last=True)])
    assert len(samples) == 16_000
    assert np.abs(samples - tone(1.0))[200:-200].max() < 0.01
