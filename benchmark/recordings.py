"""Recordings of any length, cut alike for every engine, and lengths of texts."""

from __future__ import annotations

import io
import subprocess
import wave
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import soundfile

from asr.pcm import SAMPLE_RATE, Samples

WINDOW_SECONDS = 30
SYLLABLES_HZ = 4.0  # Made-up sound has so many syllables in a second.
PHRASE_SECONDS = 5.0  # A pause of made-up sound begins every so many seconds.
PAUSE_SECONDS = 0.6
MEAN_TOKENS = 130  # A 30 s window of English has so many tokens.
DRAWN_SPREAD = 0.5  # of the logarithm of drawn lengths
FEWEST_TOKENS, MOST_TOKENS = 8, 224
PATTERN_SECONDS = 600  # Made-up sound begins again after so many seconds.
MP3_BITRATE = "64k"


def made_up(seconds: float) -> Samples:
    """Noise in syllables and phrases: not speech, but with the loudness and pauses of it."""
    count = round(min(seconds, PATTERN_SECONDS) * SAMPLE_RATE)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(count).astype(np.float32)
    smooth = np.convolve(noise, np.ones(8, np.float32) / 8, mode="same")
    time = np.arange(count) / SAMPLE_RATE
    syllables = 0.6 + 0.4 * np.sin(2 * np.pi * SYLLABLES_HZ * time)
    speaks = time % PHRASE_SECONDS < PHRASE_SECONDS - PAUSE_SECONDS
    pattern = (0.3 * smooth * syllables * np.where(speaks, 1.0, 0.01)).astype(np.float32)
    return np.resize(pattern, round(seconds * SAMPLE_RATE))


def spoken(files: list[Path], seconds: float) -> Samples:
    """The recordings in `files`, 16 kHz each, one after the other and again until long enough."""
    parts = []
    for file in files:
        samples, rate = soundfile.read(file, dtype="float32")
        if rate != SAMPLE_RATE or samples.ndim != 1:
            raise ValueError(f"{file} is not 16 kHz mono")
        parts.append(samples)
    return np.resize(np.concatenate(parts), round(seconds * SAMPLE_RATE))


def windows(recording: Samples, seconds: float = WINDOW_SECONDS) -> npt.NDArray[np.float32]:
    """The recording in whole windows, [windows, samples]."""
    size = round(seconds * SAMPLE_RATE)
    count = len(recording) // size
    return recording[: count * size].reshape(count, size)


def clips(recording: Samples, count: int, seconds: float) -> npt.NDArray[np.float32]:
    """As many different stretches of the recording as wanted, [count, samples]."""
    size = round(seconds * SAMPLE_RATE)
    starts = np.linspace(0, len(recording) - size, count).astype(int)
    return np.stack([recording[start : start + size] for start in starts])


def drawn_lengths(count: int) -> list[int]:
    """Tokens of each window, log-normal about a mean of 130: the same ones every time."""
    rng = np.random.default_rng(0)
    lengths = rng.lognormal(0.0, DRAWN_SPREAD, count)
    lengths *= MEAN_TOKENS / lengths.mean()
    return [int(length) for length in lengths.round().clip(FEWEST_TOKENS, MOST_TOKENS)]


def wav(recording: Samples) -> bytes:
    """16-bit PCM in a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE)
        writer.writeframes((recording * 32_767).astype("<i2").tobytes())
    return file.getvalue()


def flac(samples: Samples) -> bytes:
    """16 bits, without loss."""
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE, format="FLAC")
    return file.getvalue()


def mp3(recording: Samples) -> bytes:
    """An MP3 file at 64 kbit/s."""
    program = imageio_ffmpeg.get_ffmpeg_exe()
    options = ["-hide_banner", "-loglevel", "error", "-i", "pipe:0", "-f", "mp3"]
    command = [program, *options, "-b:a", MP3_BITRATE, "pipe:1"]
    return subprocess.run(command, input=wav(recording), capture_output=True, check=True).stdout
