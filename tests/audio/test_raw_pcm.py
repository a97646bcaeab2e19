"""Raw PCM is decoded as its media type declares it; a file's own header is believed first."""

from __future__ import annotations

import asyncio
import io

import numpy as np
import pytest
import soundfile

from asr.audio.damage import Damage
from asr.audio.decoder import Decoder
from asr.audio.libsndfile import IN_MEMORY_BYTES
from asr.audio.raw_pcm import HEAD_BYTES, has_header, is_raw, parsed, without_raw
from asr.errors import BadAudio, BadRequest, TooLarge
from asr.pcm import SAMPLE_RATE
from tests.conftest import tone, wav
from tests.support.raw_audio import KINDS, raw, write_faults
from tests.support.sounds import (
    assert_is_the_sweep,
    decoded,
    encoded,
    on_disk,
    stream,
    sweep,
)

WITH_HEADERS = (  # one of each kind of header
    *("speech.mp3", "voice.opus", "pcm16.wav", "rf64.wav", "wave64.w64", "stereo.flac"),
    *("sound.webm", "index-at-end.m4a", "index-first.m4a", "phone.3gp", "narrow.amr", "sound.wma"),
    *("apple.caf", "apple.aiff", "unix.au", "pack.wv"),
)
COARSE = {"PCM_U8": 0.01, "ULAW": 0.02, "ALAW": 0.02}  # how far samples of these formats are off


async def heard(decoder: Decoder, data: bytes, media_type: str, size: int = 4096) -> np.ndarray:
    return await decoded(decoder, await without_raw(stream(data, size), media_type))


@pytest.mark.parametrize("media_type", KINDS)
async def test_samples_are_decoded_as_declared(decoder: Decoder, media_type: str) -> None:
    sound = sweep()
    samples = await heard(decoder, raw(sound, media_type), f"{media_type};rate={SAMPLE_RATE}")
    assert len(samples) == len(sound)
    assert np.abs(samples - sound).max() < COARSE.get(KINDS[media_type][0], 1e-4)


@pytest.mark.parametrize("media_type", ["audio/basic", "audio/PCMU", "audio/PCMA"])
async def test_a_type_for_telephones_has_8000_samples_per_second(
    decoder: Decoder, media_type: str
) -> None:
    assert_is_the_sweep(await heard(decoder, raw(sweep(rate=8000), media_type), media_type))


@pytest.mark.parametrize("rate", [8000, 11_025, 24_000, 48_000])
async def test_samples_of_any_rate_are_resampled(decoder: Decoder, rate: int) -> None:
    sound = raw(sweep(rate=rate), "audio/L16")
    assert_is_the_sweep(await heard(decoder, sound, f"audio/L16; rate={rate}; channels=1"))


@pytest.mark.parametrize("channels", [2, 6])
async def test_channels_are_mixed_as_those_of_a_wave_file(decoder: Decoder, channels: int) -> None:
    both = np.stack([sweep()] * channels, axis=1)
    declared = f"audio/L16;rate=16000;channels={channels}"
    samples = await heard(decoder, raw(both, "audio/L16"), declared)
    assert np.array_equal(samples, await decoded(decoder, stream(wav(both))))
    assert_is_the_sweep(samples)


@pytest.mark.parametrize("channels", [1, 2, 6])
async def test_raw_audio_is_never_called_damaged_and_is_the_same_from_a_file(
    decoder: Decoder, channels: int
) -> None:
    sound = raw(np.stack([sweep()] * channels, axis=1), "audio/L24") + b"\0"
    declared = f"audio/L24;rate=16000;channels={channels}"
    whole = b"".join([data async for data in await without_raw(stream(sound), declared)])
    damage = Damage()
    with on_disk(whole) as file:
        for source in (stream(whole), file):
            samples = [block async for block in decoder.blocks(source, damage)]
            assert_is_the_sweep(np.concatenate(samples))
            assert damage.warnings == ()


@pytest.mark.parametrize("media_type", ["audio/L16;rate=16000", "audio/L24;rate=16000"])
async def test_pieces_of_any_size_are_the_same_sound(decoder: Decoder, media_type: str) -> None:
    data = raw(tone(0.2), media_type.partition(";")[0])
    whole = await heard(decoder, data, media_type, len(data))
    for size in (1, 7, 1000):
        assert np.array_equal(await heard(decoder, data, media_type, size), whole)


@pytest.mark.parametrize("media_type", ["audio/L16", "audio/pcm", "audio/L24"])
async def test_a_frame_that_the_end_cuts_is_dropped(decoder: Decoder, media_type: str) -> None:
    declared = f"{media_type};rate=16000;channels=2"
    data = raw(np.stack([tone(0.1)] * 2, axis=1), media_type)
    whole = await heard(decoder, data, declared)
    for more in (b"\x11", b"\x11" * 3):
        assert np.array_equal(await heard(decoder, data + more, declared), whole)
    with pytest.raises(BadAudio, match="no samples"):
        await heard(decoder, b"\x11", declared)


async def test_first_samples_are_decoded_while_the_rest_still_arrives(decoder: Decoder) -> None:
    sound, rest = raw(tone(60.0), "audio/L16"), asyncio.Event()
    begun = HEAD_BYTES + IN_MEMORY_BYTES + 2 * SAMPLE_RATE

    async def arriving():
        yield sound[:begun]
        await rest.wait()
        yield sound[begun:]

    source = await without_raw(arriving(), "audio/L16;rate=16000")
    blocks = decoder.blocks(source)
    first = await anext(blocks)
    assert not rest.is_set()
    rest.set()
    assert len(first) + sum([len(block) async for block in blocks]) == 60 * SAMPLE_RATE


async def test_raw_audio_may_last_as_long_as_other_audio() -> None:
    decoder = Decoder(max_seconds=1.0, processes=1)
    with pytest.raises(TooLarge, match="MAX_AUDIO_SECONDS=1"):
        await heard(decoder, bytes(4 * SAMPLE_RATE), "audio/pcm;rate=16000")
    decoder.close()


async def test_no_bytes_are_an_empty_body(decoder: Decoder) -> None:
    with pytest.raises(BadAudio, match="the body is empty"):
        await heard(decoder, b"", "audio/L16;rate=16000")


@pytest.mark.parametrize(
    ("media_type", "message"),
    [
        ("audio/L16", "audio/l16 has no rate: send the rate of the audio with it, as rate=16000"),
        ("audio/pcm;channels=1", "audio/pcm has no rate"),
        ("audio/pcm;rate", "has rate=: send a whole number from 1000 to 768000"),
        ("audio/pcm;rate=0", "has rate=0: send a whole number from 1000 to 768000"),
        ("audio/PCMU;rate=-8000", "audio/pcmu has rate=-8000"),
        ("audio/pcm;rate=1e9", "has rate=1e9"),
        ("audio/pcm;rate=1000000000", "has rate=1000000000"),
        ("audio/pcm;rate=16k", "has rate=16k"),
        ("audio/pcm;rate=١٦٠٠٠", "has rate="),
        ("audio/pcm;rate=" + "9" * 200, "has rate=999"),
        ("audio/pcm;rate=16000;channels=0", "has channels=0: send a whole number from 1 to 8"),
        ("audio/pcm;rate=16000;channels=300", "has channels=300"),
        ("audio/L16;rate=16000;bits=24", "audio/l16 has bits=24: send samples of 16 bits"),
        ("audio/pcm;rate=16000;bits=12", "has bits=12: send samples of 16 or 8 or 24 or 32 bits"),
        ("audio/raw;rate=16000;bits=8;encoding=signed-integer", "samples of 16 or 24 or 32 bits"),
        ("audio/raw;rate=16000;encoding=opus", "has encoding=opus: send one of signed-integer, "),
        ("audio/pcm;rate=16000;endian=middle", "has endian=middle: send one of big, big-endian, "),
        ("audio/pcm;rate=16000;x=" + "y" * 300, "more than 256 characters"),
    ],
)
async def test_a_parameter_that_cannot_be_used_is_named_with_the_remedy(
    media_type: str, message: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        await without_raw(stream(bytes(1000)), media_type)
    assert message in refused.value.message


def test_parameters_that_say_nothing_of_samples_are_ignored() -> None:
    declared = "audio/L16;rate=16000;channels=1"
    assert parsed(declared) == parsed(declared + ";emphasis=50-15;codec=x;;=;charset=utf-8")


@pytest.mark.parametrize("media_type", ["", "audio/wav", "audio/L16x", "text/plain;a=audio/L16"])
async def test_bytes_of_other_types_are_left_as_they_are(media_type: str) -> None:
    assert not is_raw(media_type)
    source = stream(bytes(1000))
    assert await without_raw(source, media_type) is source


@pytest.mark.parametrize("name", WITH_HEADERS)
async def test_a_file_is_what_its_header_says_whatever_its_media_type(
    decoder: Decoder, name: str
) -> None:
    assert has_header(encoded(name)[:HEAD_BYTES])
    if name in {"pcm16.wav", "speech.mp3", "index-at-end.m4a"}:
        assert_is_the_sweep(await heard(decoder, encoded(name), "audio/pcm"))


@pytest.mark.parametrize("media_type", KINDS)
def test_quiet_samples_are_no_files_header(media_type: str) -> None:
    noise = np.random.default_rng(7).normal(0.0, 1e-3, 50_000).astype(np.float32)
    for sound in (raw(noise, media_type), raw(0 * noise, media_type)):
        assert not any(has_header(sound[at : at + HEAD_BYTES]) for at in range(0, 20_000, 8))


async def test_text_that_is_called_raw_audio_is_refused() -> None:
    with pytest.raises(BadRequest, match="audio/pcm comes with text: send the bytes of the"):
        await without_raw(stream(b"UklGRiQAAABXQVZF" * 10), "audio/pcm;rate=16000")


async def test_eight_bits_may_look_like_text(decoder: Decoder) -> None:
    silence = await heard(decoder, b"U" * 16_000, "audio/PCMA")  # -8, the one nearest to zero
    assert len(silence) == pytest.approx(2 * SAMPLE_RATE, abs=200)
    assert np.abs(silence).max() < 1e-3


def test_each_way_to_send_raw_audio_is_written_with_its_command(tmp_path) -> None:
    commands = write_faults(tmp_path, tone(1.0), SAMPLE_RATE)
    assert any("audio/L16;rate=16000" in command for command in commands)
    assert soundfile.read(io.BytesIO((tmp_path / "speech.wav").read_bytes()))[1] == SAMPLE_RATE
    assert (tmp_path / "speech.l16").stat().st_size == 2 * SAMPLE_RATE
