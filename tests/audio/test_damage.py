"""What is wrong with a recording is told; what is right with it is not."""

from __future__ import annotations

import pytest

from asr.audio.damage import Damage
from asr.audio.decoder import Decoder
from asr.pcm import SAMPLE_RATE
from tests.conftest import tone, wav
from tests.support.sounds import FILMS, FORMATS, encoded, ffmpeg, on_disk, stream


async def damage_of(decoder: Decoder, source: object) -> Damage:
    damage = Damage()
    async for _ in decoder.blocks(source, damage):
        pass
    return damage


@pytest.mark.parametrize("name", [*FORMATS, *FILMS])
async def test_a_whole_file_of_any_format_is_not_called_damaged(
    decoder: Decoder, name: str
) -> None:
    data = encoded(name)
    with on_disk(data) as file:
        for source in (stream(data), file):
            assert (await damage_of(decoder, source)).warnings == ()


@pytest.mark.parametrize("name", ["long.mp3", "long.flac", "long.mka", "long.wav"])
async def test_what_is_missing_of_a_file_that_declares_its_length_is_counted(
    decoder: Decoder, name: str
) -> None:
    data = ffmpeg("-stream_loop", "39", "-i", "sweep.wav", name=name)
    damage = await damage_of(decoder, stream(data[: len(data) // 2]))
    assert damage.decoded == pytest.approx(60, abs=6)
    assert damage.decoded + damage.missing == pytest.approx(120, abs=1)
    [warning] = damage.warnings
    assert f"{damage.decoded:.1f} s of 120." in warning


async def test_a_hole_that_the_decoder_tells_of_is_a_warning(decoder: Decoder) -> None:
    data = bytearray(encoded("ten-minutes.mp3"))
    data[100_000:140_000] = bytes(40_000)
    damage = await damage_of(decoder, stream(bytes(data)))
    assert damage.warnings
    assert damage.missing == pytest.approx(10, abs=1)


@pytest.mark.parametrize("size", [0x7FFF_FFFF, 0x7FFF_F000, 0x8000_0000, 0xFFFF_FFFF, 0])
async def test_a_wav_that_was_written_before_its_length_was_known_is_not_called_damaged(
    decoder: Decoder, size: int
) -> None:
    data = bytearray(wav(tone(3.0)))
    place = data.index(b"data") + 4
    data[place : place + 4] = size.to_bytes(4, "little")
    damage = await damage_of(decoder, stream(bytes(data)))
    assert (damage.decoded * SAMPLE_RATE, damage.warnings) == (3 * SAMPLE_RATE, ())


def test_a_second_or_a_hundredth_is_not_missed() -> None:
    assert Damage(declared=10.0, decoded=9.1).missing == 0.0
    assert Damage(declared=1000.0, decoded=991.0).missing == 0.0
    assert Damage(declared=10.0, decoded=8.5).missing == 1.5
    assert Damage(declared=10.0, decoded=12.0).missing == 0.0
    assert Damage(decoded=12.0).missing == 0.0


def test_the_first_reason_is_told() -> None:
    damage = Damage()
    damage.note("Header missing")
    damage.note("Conversion failed!")
    assert damage.warnings == ("the audio is damaged (Header missing): parts of it may be missing",)
