"""Audio comes as 16-bit PCM, no faster than time unless that is wanted."""

import os

import numpy as np
import pytest

from asr.cli.live.pcm_input import FileInput, RealTimePace, StandardInput, pcm16
from asr.errors import BadAudio
from tests.conftest import tone, wav


async def all_of(audio):
    return [piece async for piece in audio.pieces()]


@pytest.fixture
def clock():
    now = [100.0]

    def read():
        return now[0]

    read.now = now
    return read


def test_audio_passes_when_it_would_have_been_spoken(clock):
    pace = RealTimePace(clock=clock)
    assert pace.wait(0.1) == pytest.approx(0.1)
    clock.now[0] += 0.1
    assert pace.wait(0.1) == pytest.approx(0.1)
    clock.now[0] += 5.0  # whoever is late does not wait
    assert pace.wait(0.1) == 0.0


def test_audio_that_was_there_before_passes_at_once(clock):
    pace = RealTimePace(ahead=2.0, clock=clock)
    assert pace.wait(2.0) == 0.0
    assert pace.wait(0.5) == pytest.approx(0.5)


async def test_a_file_of_any_format_is_pcm_of_16_khz(tmp_path):
    file = tmp_path / "a.wav"
    file.write_bytes(wav(tone(1.05)))
    audio = FileInput(file, None)
    pieces = await all_of(audio)
    assert [len(piece) for piece in pieces] == [3200] * 10 + [1600]
    heard = np.frombuffer(b"".join(pieces), "<i2") / 32_768
    assert np.abs(heard - tone(1.05)).max() < 1e-4


async def test_a_file_waits_for_its_pace(tmp_path, monkeypatch):
    file = tmp_path / "a.wav"
    file.write_bytes(wav(tone(0.3)))
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    monkeypatch.setattr("asr.cli.live.pcm_input.asyncio.sleep", sleep)
    await all_of(FileInput(file, RealTimePace(clock=lambda: 0.0)))
    assert waited == pytest.approx([0.1, 0.2, 0.3])


async def test_what_is_no_audio_is_refused(tmp_path):
    file = tmp_path / "a.wav"
    file.write_text("no audio")
    with pytest.raises(BadAudio):
        await all_of(FileInput(file, None))


async def test_standard_input_is_read_to_its_end_and_half_a_sample_is_dropped():
    reading, writing = os.pipe()
    data = bytes(range(256)) * 20
    with os.fdopen(reading, "rb") as file:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(data + b"!")
        pieces = await all_of(StandardInput(8000, None, file))
    assert b"".join(pieces) == data
    assert {len(piece) for piece in pieces[:-1]} == {1600}


def test_samples_beyond_the_scale_are_clipped():
    assert np.frombuffer(pcm16(np.array([-2, -1, 0, 1, 2], np.float32)), "<i2").tolist() == [
        -32_768,
        -32_768,
        0,
        32_767,
        32_767,
    ]
