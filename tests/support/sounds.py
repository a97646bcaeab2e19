"""Make sounds in every format with ffmpeg while the tests run."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO

import imageio_ffmpeg
import numpy as np
import pytest

from asr.audio.decoder import Decoder
from tests.conftest import RATE, wav

FFMPEG = os.path.realpath(imageio_ffmpeg.get_ffmpeg_exe())
SECONDS = 3.0  # The sweep lasts so many seconds.
PADDING = 0.15  # Lossy codecs may add so many seconds at the ends.
LOW, HIGH = 400.0, 1200.0  # The sweep rises between these, in hertz, within a telephone's band.
# ffmpeg makes a black picture of 3 s from these arguments.
PICTURE = ["-f", "lavfi", "-i", "color=black:s=64x64:r=10:d=3"]

# ffmpeg writes files of these names with these options, from a mono sweep at 48 kHz.
FORMATS = {
    "speech.mp3": "-b:a 64k",
    "vorbis.ogg": "-c:a libvorbis",
    "opus.ogg": "-c:a libopus",
    "voice.opus": "-c:a libopus -b:a 16k",
    "pcm16.wav": "-c:a pcm_s16le",
    "pcm24.wav": "-c:a pcm_s24le",
    "pcm32.wav": "-c:a pcm_s32le",
    "float32.wav": "-c:a pcm_f32le",
    "float64.wav": "-c:a pcm_f64le",
    "alaw.wav": "-ar 8000 -c:a pcm_alaw",
    "mulaw.wav": "-ar 8000 -c:a pcm_mulaw",
    "adpcm.wav": "-c:a adpcm_ms",
    "ima.wav": "-c:a adpcm_ima_wav",
    "mp3.wav": "-c:a libmp3lame",
    "rf64.wav": "-rf64 always",
    "wave64.w64": "",
    "studio.wav": "-ar 192000 -c:a pcm_s24le",
    "surround.wav": "-ac 8 -c:a pcm_s16le",
    "stereo.flac": "-ac 2",
    "surround.flac": "-ac 8",
    "studio.flac": "-ar 192000 -sample_fmt s32",
    "sound.webm": "-c:a libopus",
    "index-at-end.m4a": "-c:a aac",
    "index-first.m4a": "-c:a aac -movflags +faststart",
    "fragmented.mp4": "-c:a aac -movflags frag_keyframe+empty_moov",
    "lossless.m4a": "-c:a alac",
    "phone.3gp": "-ar 8000 -c:a libopencore_amrnb -b:a 12.2k",
    "raw.aac": "-c:a aac",
    "narrow.amr": "-ar 8000 -c:a libopencore_amrnb -b:a 12.2k",
    "sound.wma": "-c:a wmav2",
    "sound.mka": "-c:a flac",
    "apple.caf": "-c:a pcm_s16le",
    "apple.aiff": "",
    "unix.au": "",
    "pack.wv": "",
    "sound.ac3": "",
    "broadcast.ts": "-c:a mp2 -f mpegts",
}
# ffmpeg writes these with a black picture and the sweep.
FILMS = {
    "film.mp4": "-c:v libx264 -c:a aac",
    "film-index-first.mp4": "-c:v libx264 -c:a aac -movflags +faststart",
    "film.mov": "-c:v libx264 -c:a pcm_s16le",
    "film.mkv": "-c:v libx264 -c:a libvorbis",
    "film.avi": "-c:v mpeg4 -c:a libmp3lame",
    "film.webm": "-c:v libvpx -c:a libopus",
    "film.flv": "-c:v flv -ar 44100 -c:a libmp3lame",
    "film.mpg": "-c:v mpeg1video -r 25 -c:a mp2",
}
# ffmpeg writes these with a black picture and no sound.
SILENT_FILMS = {
    "silent.mp4": "-c:v libx264",
    "silent.mkv": "-c:v libx264",
    "silent.avi": "-c:v mpeg4",
    "silent.webm": "-c:v libvpx",
}


def sweep(seconds: float = SECONDS, rate: int = RATE) -> np.ndarray:
    """Return a tone that rises from LOW to HIGH at half volume, [samples]."""
    moment = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * (LOW * moment + (HIGH - LOW) * moment**2 / (2 * seconds))
    return (0.5 * np.sin(phase)).astype(np.float32)


# These files last ten minutes.
LONG = {
    "ten-minutes.mp3": "-b:a 32k -ar 16000",
    "ten-minutes.m4a": "-c:a aac -b:a 32k -ar 16000",
}


@functools.cache
def encoded(name: str) -> bytes:
    """Return the sweep as the file `name` of one of the tables above."""
    if name in FORMATS:
        return ffmpeg("-i", "sweep.wav", *FORMATS[name].split(), name=name)
    if name in FILMS:
        return ffmpeg("-i", "sweep.wav", *PICTURE, *FILMS[name].split(), "-shortest", name=name)
    if name in LONG:
        return ffmpeg("-stream_loop", "199", "-i", "sweep.wav", *LONG[name].split(), name=name)
    return ffmpeg(*PICTURE, *SILENT_FILMS[name].split(), name=name)


def ffmpeg(*arguments: str, name: str) -> bytes:
    """Return the file `name` that ffmpeg writes; it can read `sweep.wav`."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "sweep.wav").write_bytes(wav(sweep(rate=48_000), 48_000))
        command = [FFMPEG, "-nostdin", "-loglevel", "error", "-y", *arguments, name]
        subprocess.run(command, cwd=place, check=True, timeout=60)
        return (place / name).read_bytes()


def pitch(samples: np.ndarray) -> float:
    """Return the loudest frequency of `samples`, [n], in hertz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * RATE / len(samples))


def expected_pitch(moment: float) -> float:
    """Return the sweep's frequency `moment` seconds after its start."""
    return LOW + (HIGH - LOW) * moment / SECONDS


def on_disk(data: bytes) -> BinaryIO:
    file = tempfile.TemporaryFile()
    file.write(data)
    file.flush()
    return file


async def stream(data: bytes, size: int = 4096) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    """Yield a decoder that takes audio of any length."""
    decoder = Decoder(max_seconds=0, processes=4)
    yield decoder
    decoder.close()


async def decoded(decoder: Decoder, source: AsyncIterator[bytes] | BinaryIO) -> np.ndarray:
    async with contextlib.aclosing(decoder.blocks(source)) as blocks:
        return np.concatenate([block async for block in blocks])


def assert_is_the_sweep(samples: np.ndarray) -> None:
    assert samples.dtype == np.float32
    assert len(samples) / RATE == pytest.approx(SECONDS, abs=PADDING)
    for moment in (0.5, 1.5, 2.5):
        piece = samples[round((moment - 0.1) * RATE) : round((moment + 0.1) * RATE)]
        assert pitch(piece) == pytest.approx(expected_pitch(moment), abs=40)
        assert np.max(np.abs(piece)) > 0.05
