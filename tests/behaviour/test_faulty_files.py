"""Files with the faults of real recordings are heard as a listener would hear them."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

from asr.audio.damage import Damage
from asr.audio.decoder import Decoder
from asr.audio.ffmpeg import find_program
from asr.errors import BadRequest, TooLarge
from asr.pcm import FULL_SCALE, plain_mix
from tests.conftest import PATIENCE_SECONDS, RATE, Server, wav
from tests.support.faulty_files import (
    AAC,
    FAULTS,
    HOLE_SECONDS,
    HOLE_START,
    LATE,
    Sounds,
    demo_sounds,
    encoded_as,
    faulty,
    lossy,
    made,
    two_tracks,
)
from tests.support.sounds import (
    decoded,
    encoded,
    on_disk,
    stream,
)

EXACT_VERSION = 6  # From this version on ffmpeg's own mix has the bits of the server's.
ROUNDING_STEPS = 4  # Before, they differ by at most so many steps of 16 bits.
SHIFT = 0.08  # Encoders move audio by up to so many seconds.
OUT_OF_PHASE = [name for name in FAULTS if name.startswith("out-of-phase")]
LATE_STARTS = [name for name in FAULTS if name.startswith("late-start")]
LOST_FRAMES = [name for name in FAULTS if name.startswith("lost-frames")]


def likeness(samples: np.ndarray, sound: np.ndarray, start: float = 0.0) -> float:
    """How far `samples` are `sound` from `start` seconds on, either way round: 0 to 1."""
    margin, place = round(SHIFT * RATE), round(start * RATE)
    around = np.pad(samples, (margin, margin + len(sound)))[place:]
    around = around[: len(sound) + 2 * margin]
    size = len(around)
    products = np.fft.irfft(np.fft.rfft(around) * np.conj(np.fft.rfft(sound, size)), size)
    power = np.linalg.norm(around) * np.linalg.norm(sound)
    return float(np.max(np.abs(products[: 2 * margin])) / power) if power else 0.0


async def both_ways(decoder: Decoder, data: bytes, track: int | None = None) -> list[np.ndarray]:
    """Decode `data` streamed and from a file."""
    found = []
    with on_disk(data) as file:
        for source in (stream(data), file):
            blocks = decoder.blocks(source, track=track)
            async with contextlib.aclosing(blocks):
                found.append(np.concatenate([block async for block in blocks]))
    return found


@pytest.mark.parametrize("name", OUT_OF_PHASE)
async def test_channels_out_of_phase_are_heard(decoder: Decoder, name: str) -> None:
    for samples in await both_ways(decoder, faulty(name)):
        assert likeness(samples, demo_sounds().speech) > 0.9


async def test_a_long_mp3_out_of_phase_is_heard_though_it_arrives_in_pieces(
    decoder: Decoder,
) -> None:
    speech = np.tile(demo_sounds().speech, 16)
    data = encoded_as("long.mp3", np.stack([speech, -speech], axis=1), "-joint_stereo", "0")
    pieces = [await decoded(decoder, stream(data, size)) for size in (700, 50_000)]
    assert np.array_equal(*pieces)
    assert likeness(pieces[0], speech) > 0.9


def ordinary() -> np.ndarray:
    """Stereo with something in common and something of its own in each channel, [frames, 2]."""
    sound = np.tile(demo_sounds().speech, 12)
    hiss = np.random.default_rng(1).normal(0, 0.01, (len(sound), 2)).astype(np.float32)
    return np.stack([sound, 0.6 * np.roll(sound, 7)], axis=1) + hiss


def server_ffmpeg() -> str:
    program = find_program()
    assert program is not None
    return program


@functools.cache
def rounds_otherwise() -> bool:
    """Whether the server's ffmpeg is version 5 or older, which mixes integers as integers."""
    command = [server_ffmpeg(), "-version"]
    told = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    number = re.match(r"ffmpeg version n?(\d+)\.", told)
    return number is not None and int(number[1]) < EXACT_VERSION


def is_same_mix(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether two mixes have the same bits, or differ by no more than ffmpeg's rounding."""
    if not rounds_otherwise():
        return np.array_equal(found, expected)
    is_as_long = found.shape == expected.shape
    return is_as_long and bool(np.max(np.abs(found - expected)) <= ROUNDING_STEPS / FULL_SCALE)


def as_it_always_was(data: bytes, name: str = "pipe:0") -> np.ndarray:
    """What ffmpeg's own mix of the first track is, without a look at times and channels.

    By the ffmpeg that the server runs: other versions round otherwise.
    """
    command = [server_ffmpeg(), "-loglevel", "error", "-i", name, "-map", "0:a:0"]
    command += ["-ac", "1", "-ar", f"{RATE}", "-f", "s16le", "-"]
    with on_disk(data) as file:
        given: Any = {"input": data} if name == "pipe:0" else {"stdin": file}
        found = subprocess.run(command, capture_output=True, check=True, **given).stdout
    return np.frombuffer(found, "<i2") / np.float32(32_768)


STEREO = {
    "long.mp3": ("-ar", "44100"),
    "half.mp3": ("-ar", "22050"),
    "stereo.m4a": ("-ar", "48000", *AAC),
    "stereo.ogg": ("-ar", "44100", "-c:a", "libvorbis"),
    "stereo.webm": ("-c:a", "libopus"),
    "stereo.mka": ("-ar", "44100", "-c:a", "flac", "-sample_fmt", "s32"),
    "stereo.aiff": (),
    "adpcm.mkv": ("-ar", "44100", "-c:a", "adpcm_ms"),
    "double.caf": ("-ar", "44100", "-c:a", "pcm_f64le"),
    "telephone.au": ("-ar", "8000", "-c:a", "pcm_alaw"),
    "stereo.ts": ("-ar", "48000", "-c:a", "mp2"),
    "stereo.wma": ("-ar", "32000"),
}


@pytest.mark.parametrize("name", STEREO)
async def test_ordinary_stereo_through_ffmpeg_is_its_mix_bit_for_bit(
    decoder: Decoder, name: str
) -> None:
    data = encoded_as(name, ordinary(), *STEREO[name])
    streamed, from_file = await both_ways(decoder, data)
    needs_file = name in {"stereo.m4a"}
    assert is_same_mix(streamed, as_it_always_was(data, "/dev/stdin" if needs_file else "pipe:0"))
    assert is_same_mix(from_file, as_it_always_was(data, "/dev/stdin"))


# These have clocks of their own, padding, or times that are computed from their bytes.
CLOCKS = ["opus.ogg", "sound.webm", "fragmented.mp4", "phone.3gp", "raw.aac", "sound.wma"]
CLOCKS += ["surround.flac", "broadcast.ts", "film.mp4", "film.avi", "film.flv", "film.mpg"]


@pytest.mark.parametrize("name", CLOCKS)
async def test_ordinary_files_of_any_format_are_as_they_always_were(
    decoder: Decoder, name: str
) -> None:
    data = encoded(name)
    with on_disk(data) as file:
        assert is_same_mix(await decoded(decoder, file), as_it_always_was(data, "/dev/stdin"))


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("stereo.wav", ("-ar", "44100")),
        ("stereo.wav", ("-c:a", "pcm_s24le")),
        ("stereo.flac", ()),
        ("stereo.flac", ("-ar", "44100", "-sample_fmt", "s32")),
    ],
)
async def test_ordinary_stereo_in_wav_and_flac_is_its_mean_bit_for_bit(
    decoder: Decoder, name: str, how: tuple[str, ...]
) -> None:
    data = encoded_as(name, ordinary(), *how)
    with on_disk(data) as file, soundfile.SoundFile(io.BytesIO(data)) as sound:
        frames = sound.read(dtype="int16" if sound.subtype == "PCM_16" else "float32")
        expected = plain_mix(frames)
        if sound.samplerate != RATE:
            resampler = soxr.ResampleStream(sound.samplerate, RATE, 1, dtype="float32")
            expected = resampler.resample_chunk(expected, last=True).clip(-1, 1)
        assert np.array_equal(await decoded(decoder, file), expected)
    if name == "stereo.wav":
        assert np.array_equal(await decoded(decoder, stream(data)), expected)


@pytest.mark.parametrize("name", ["default-track-second.mkv", "default-track-second.mp4"])
async def test_the_default_track_is_heard_and_any_other_by_its_number(
    decoder: Decoder, name: str
) -> None:
    data, sounds = faulty(name), demo_sounds()
    for track, sound in ((None, sounds.speech), (1, sounds.speech), (0, sounds.other)):
        for samples in await both_ways(decoder, data, track):
            assert likeness(samples, sound) > 0.9
            assert len(samples) / RATE == pytest.approx(len(sound) / RATE, abs=0.2)


async def test_a_film_of_which_much_is_read_before_its_tracks_are_known_is_heard_too(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asr.audio.streams.KEPT_IN_MEMORY", 10_000)
    sounds = demo_sounds()
    long = Sounds(np.tile(sounds.speech, 20), np.tile(sounds.other, 20))
    data = two_tracks("film.mkv", long)
    assert likeness(await decoded(decoder, stream(data)), long.speech) > 0.9


@pytest.mark.parametrize("name", ["default-track-second.mkv", "default-track-second.mp4"])
async def test_a_track_that_is_not_there_is_refused_with_those_that_are(
    decoder: Decoder, name: str
) -> None:
    listed = r"no audio_track 2: choose one of 0 \(aac, fra.*\), 1 \(aac, eng"
    with pytest.raises(BadRequest, match=listed):
        await both_ways(decoder, faulty(name), 2)


@pytest.mark.parametrize("name", ["pcm16.wav", "stereo.flac", "speech.mp3", "opus.ogg"])
async def test_a_file_with_one_track_has_the_first_alone(decoder: Decoder, name: str) -> None:
    data = encoded(name)
    assert np.array_equal(*[(await both_ways(decoder, data, track))[0] for track in (None, 0)])
    with pytest.raises(BadRequest, match=r"no audio_track 1: choose one of 0 \(\w+\)"):
        await both_ways(decoder, data, 1)


@pytest.mark.parametrize("name", LATE_STARTS)
async def test_what_begins_late_is_late(decoder: Decoder, name: str) -> None:
    for samples in await both_ways(decoder, faulty(name)):
        assert likeness(samples, demo_sounds().speech, LATE) > 0.9
        assert not np.any(samples[: round((LATE - SHIFT) * RATE)])


@pytest.mark.parametrize("name", LOST_FRAMES)
async def test_what_follows_lost_frames_is_where_it_was(decoder: Decoder, name: str) -> None:
    speech = np.tile(demo_sounds().speech, 3)
    data = FAULTS[name](name, Sounds(speech, speech))
    start, end = round(HOLE_START * RATE), round((HOLE_START + HOLE_SECONDS) * RATE)
    margin = round(SHIFT * RATE)
    for samples in await both_ways(decoder, data):
        assert likeness(samples, speech[:start]) > 0.9
        assert likeness(samples, speech[end + margin :], end / RATE + SHIFT) > 0.9
        assert np.max(np.abs(samples[start + margin : end - margin])) < 1e-3
    damage = Damage()
    async for _ in decoder.blocks(stream(data), damage):
        pass
    assert damage.missing == 0


async def test_single_frames_that_are_lost_add_up(decoder: Decoder) -> None:
    speech = np.tile(demo_sounds().speech, 4)
    data = lossy("lossy.mka", Sounds(speech, speech), "not(mod(n,10))*gt(n,0)")
    end = speech[-2 * RATE :]
    samples = await decoded(decoder, stream(data))
    assert len(samples) / RATE == pytest.approx(len(speech) / RATE, abs=0.2)
    assert likeness(samples, end, len(speech) / RATE - 2) > 0.5


async def test_joined_streams_whose_clock_starts_again_lose_nothing(decoder: Decoder) -> None:
    sounds = demo_sounds()
    for samples in await both_ways(decoder, faulty("clock-restarts.ts")):
        assert likeness(samples, sounds.speech) > 0.9
        length = len(sounds.speech) / RATE
        assert likeness(samples, sounds.other, length + 0.16) > 0.9
        assert len(samples) / RATE == pytest.approx(length + len(sounds.other) / RATE, abs=0.3)


async def test_a_forged_year_is_no_year_of_silence(decoder: Decoder) -> None:
    for samples in await both_ways(decoder, faulty("forged-year.mka")):
        assert likeness(samples, demo_sounds().speech) > 0.9
        assert len(samples) / RATE == pytest.approx(len(demo_sounds().speech) / RATE, abs=0.2)


async def test_silence_counts_against_the_longest_audio_allowed() -> None:
    sounds = demo_sounds()
    data = made("late.mka", "-itsoffset", "1000", "-i", "{speech}", *AAC, speech=wav(sounds.speech))
    with (
        contextlib.closing(Decoder(max_seconds=600, processes=1)) as decoder,
        pytest.raises(TooLarge, match="MAX_AUDIO_SECONDS=600"),
    ):
        await decoded(decoder, stream(data))


def ask(url: str, data: bytes, **options: object) -> tuple[int, dict[str, Any], float]:
    """Post `data`; return the status, the answer and the length of the audio."""
    request = urllib.request.Request(f"{url}/asr?{urllib.parse.urlencode(options)}", data)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            return answer.status, json.load(answer), float(answer.headers["X-Audio-Length"])
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error), 0.0


def test_the_server_writes_what_is_said_when_it_is_said(server: Server) -> None:
    plain = ask(server.url, wav(demo_sounds().speech))[1]
    start, end = plain["chunks"][0]["timestamp"]
    for name in ("out-of-phase.wav", "out-of-phase.webm", "default-track-second.mkv"):
        assert ask(server.url, faulty(name))[1]["text"] == plain["text"]
    for name in LATE_STARTS:
        _, answer, length = ask(server.url, faulty(name))
        assert answer["text"] == plain["text"]
        assert answer["chunks"][0]["timestamp"][0] == pytest.approx(start + LATE, abs=0.2)
        assert answer["chunks"][-1]["timestamp"][1] == pytest.approx(end + LATE, abs=0.2)
        assert length == pytest.approx(len(demo_sounds().speech) / RATE + LATE, abs=0.2)


def test_the_server_takes_the_number_of_a_track(server: Server) -> None:
    data = faulty("default-track-second.mkv")
    other = ask(server.url, data, audio_track=0)[1]["text"]
    assert other != ask(server.url, data)[1]["text"]
    status, answer, _ = ask(server.url, data, audio_track=7)
    assert (status, "choose one of 0 (aac, fra" in answer["error"]) == (400, True)
    status, answer, _ = ask(server.url, data, audio_track=-1)
    assert (status, "audio_track" in answer["error"]) == (422, True)
