"""The channels of every container stay apart, at the same times, whole, in part and one alone."""

from __future__ import annotations

import contextlib
import functools
import io
import tracemalloc
from collections.abc import AsyncIterator
from typing import BinaryIO

import numpy as np
import pytest
import soundfile

from asr.audio.damage import Damage
from asr.audio.decoder import Decoder
from asr.audio.tracks import part_of
from asr.errors import BadRequest, TooLarge
from asr.options import AudioPart, Channels
from asr.pcm import SAMPLE_RATE
from tests.conftest import RATE, tone, wav
from tests.support.sounds import encoded, ffmpeg, on_disk, pitch, stream

LEFT, RIGHT = 500.0, 1000.0  # hertz
TWO = [
    *("-f", "lavfi", "-i", f"sine={LEFT:g}:d=3:r=48000"),
    *("-f", "lavfi", "-i", f"sine={RIGHT:g}:d=3:r=48000"),
    *("-filter_complex", "[0][1]join=inputs=2:channel_layout=stereo"),
]
FORMATS = {
    "speech.mp3": "-b:a 64k",
    "opus.ogg": "-c:a libopus -b:a 64k",
    "pcm16.wav": "-c:a pcm_s16le",
    "telephone.wav": "-ar 8000 -c:a pcm_mulaw",
    "ima.wav": "-c:a adpcm_ima_wav",
    "stereo.flac": "",
    "index-at-end.m4a": "-c:a aac",
    "sound.mka": "-c:a flac",
    "broadcast.ts": "-c:a mp2 -f mpegts",
}


@functools.cache
def stereo(name: str) -> bytes:
    return ffmpeg(*TWO, *FORMATS[name].split(), name=name)


async def split(
    decoder: Decoder, source: AsyncIterator[bytes] | BinaryIO, channels: Channels = "split"
) -> np.ndarray:
    async with contextlib.aclosing(decoder.blocks(source, channels=channels)) as blocks:
        return np.concatenate([block async for block in blocks])


@pytest.mark.parametrize("name", FORMATS)
async def test_the_channels_of_a_format_stay_apart_streamed_and_from_a_file(
    decoder: Decoder, name: str
) -> None:
    with on_disk(stereo(name)) as file:
        for source in (stream(stereo(name)), file):
            found = await split(decoder, source)
            assert found.shape[1] == 2
            assert found.dtype == np.float32
            assert len(found) / RATE == pytest.approx(3.0, abs=0.15)
            middle = found[RATE : 2 * RATE]
            assert pitch(middle[:, 0]) == pytest.approx(LEFT, abs=3)
            assert pitch(middle[:, 1]) == pytest.approx(RIGHT, abs=3)
        alone = await split(decoder, stream(stereo(name)), 1)
        assert alone.ndim == 1
        assert pitch(alone[RATE : 2 * RATE]) == pytest.approx(RIGHT, abs=3)


@pytest.mark.parametrize("name", ["surround.wav", "surround.flac"])
async def test_eight_channels_are_as_many_and_equal_ones_stay_equal(
    decoder: Decoder, name: str
) -> None:
    found = await split(decoder, stream(encoded(name)))
    assert found.shape[1] == 8
    loud = [channel for channel in found.T if np.max(np.abs(channel)) > 0.05]
    assert all(np.array_equal(channel, loud[0]) for channel in loud)


async def test_nine_channels_are_refused_and_one_of_them_is_decoded(decoder: Decoder) -> None:
    nine = wav(np.stack([tone(1.0, hertz=100.0 * (n + 2)) for n in range(9)], axis=1))
    with pytest.raises(BadRequest, match="the audio has 9 channels, and at most 8"):
        await split(decoder, stream(nine))
    assert pitch(await split(decoder, stream(nine), 8)) == pytest.approx(1000.0, abs=3)


async def test_damaged_audio_keeps_its_channels_where_another_decoder_goes_on(
    decoder: Decoder,
) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 30 * RATE).astype(np.float32)
    file = io.BytesIO()
    soundfile.write(file, np.stack([noise, -0.5 * noise], axis=1), RATE, format="FLAC")
    data = bytearray(file.getvalue())
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    damage = Damage()
    blocks = decoder.blocks(stream(bytes(data)), damage, channels="split")
    found = np.concatenate([block async for block in blocks])
    assert damage.reason is not None
    assert len(found) > 20 * RATE
    assert np.max(np.abs(found[: 10 * RATE, 1] + 0.5 * found[: 10 * RATE, 0])) < 1e-3
    assert np.mean(np.abs(found[:, 1] + 0.5 * found[:, 0]) > 1e-3) < 0.2


async def test_a_late_start_is_silence_in_both_channels(decoder: Decoder) -> None:
    late = ffmpeg(*TWO, "-output_ts_offset", "2", "-c:a", "pcm_s16le", name="late.mka")
    found = await split(decoder, stream(late))
    assert len(found) / RATE == pytest.approx(5.0, abs=0.1)
    assert np.max(np.abs(found[: round(1.9 * RATE)])) == 0.0
    assert pitch(found[3 * RATE : 4 * RATE, 1]) == pytest.approx(RIGHT, abs=3)


async def test_a_part_of_a_recording_has_all_its_channels(decoder: Decoder) -> None:
    blocks = decoder.blocks(stream(stereo("stereo.flac")), channels="split")
    part = part_of(blocks, AudioPart(1.0, 1.5), Damage())
    found = np.concatenate([block async for block in part])
    whole = await split(decoder, stream(stereo("stereo.flac")))
    assert np.array_equal(found, whole[RATE : round(1.5 * RATE)])


async def test_all_channels_count_in_the_longest_audio_that_is_taken() -> None:
    decoder = Decoder(max_seconds=10, processes=1)
    try:
        six = wav(np.stack([tone(6.0), tone(6.0)], axis=1))
        assert len(await split(decoder, stream(six), "mix")) == 6 * SAMPLE_RATE
        with pytest.raises(TooLarge, match="the audio of all channels lasts 12 s"):
            await split(decoder, stream(six))
    finally:
        decoder.close()


@pytest.mark.parametrize("name", ["long.wav", "long.mka"])
async def test_ten_minutes_of_two_channels_are_decoded_in_bounded_memory(
    decoder: Decoder, name: str
) -> None:
    made = ["-f", "lavfi", "-i", "anoisesrc=d=600:r=8000:a=0.1", "-ac", "2", "-c:a", "pcm_mulaw"]
    data = ffmpeg(*made, name=name)
    tracemalloc.start()
    try:
        total = 0
        async with contextlib.aclosing(
            decoder.blocks(stream(data, 65_536), channels="split")
        ) as blocks:
            async for block in blocks:
                total += len(block)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total / RATE == pytest.approx(600, abs=1)
    assert most < 30e6  # all of it is 77 MB
