"""Make recordings of any length, cut them alike for all engines, draw text lengths."""

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

WINDOW_SECONDS = 30  # A window lasts so many seconds.
SYLLABLES_HZ = 4.0  # Made-up sound has so many syllables in a second.
PHRASE_SECONDS = 5.0  # A pause of made-up sound begins every so many seconds.
PAUSE_SECONDS = 0.6  # A pause of made-up sound lasts so many seconds.
MEAN_TOKENS = 130  # A 30 s window of English has about so many tokens.
DRAWN_SPREAD = 0.5  # The logarithms of drawn lengths have this standard deviation.
FEWEST_TOKENS, MOST_TOKENS = 8, 224  # A drawn length is between these, in tokens.
PATTERN_SECONDS = 600  # Made-up sound begins again after so many seconds.
MP3_BITRATE = "64k"  # MP3 files have so many bits a second.


def made_up(seconds: float) -> Samples:
    """Return noise with the loudness, syllables and pauses of speech, but no words."""
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
    """Return the recordings in `files` in a row, repeated until they last `seconds`.

    Raises:
        ValueError: a file is not 16 kHz mono.
    """
    parts = []
    for file in files:
        samples, rate = soundfile.read(file, dtype="float32")
        if rate != SAMPLE_RATE or samples.ndim != 1:
            raise ValueError(f"{file} is not 16 kHz mono")
        parts.append(samples)
    return np.resize(np.concatenate(parts), round(seconds * SAMPLE_RATE))


def windows(recording: Samples, seconds: float = WINDOW_SECONDS) -> npt.NDArray[np.float32]:
    """Cut the recording into whole windows, [windows, samples]."""
    size = round(seconds * SAMPLE_RATE)
    count = len(recording) // size
    return recording[: count * size].reshape(count, size)


def clips(recording: Samples, count: int, seconds: float) -> npt.NDArray[np.float32]:
    """Return `count` different stretches of the recording, [count, samples]."""
    size = round(seconds * SAMPLE_RATE)
    starts = np.linspace(0, len(recording) - size, count).astype(int)
    return np.stack([recording[start : start + size] for start in starts])


def drawn_lengths(count: int) -> list[int]:
    """Draw the number of tokens of each window, the same ones every time.

    They are log-normal with a mean of 130.
    """
    rng = np.random.default_rng(0)
    lengths = rng.lognormal(0.0, DRAWN_SPREAD, count)
    lengths *= MEAN_TOKENS / lengths.mean()
    return [int(length) for length in lengths.round().clip(FEWEST_TOKENS, MOST_TOKENS)]


def wav(recording: Samples) -> bytes:
    """Return a WAV file with 16-bit PCM."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE)
        writer.writeframes((recording * 32_767).astype("<i2").tobytes())
    return file.getvalue()


def flac(samples: Samples) -> bytes:
    """Return a FLAC file with 16 bits a sample."""
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE, format="FLAC")
    return file.getvalue()


def mp3(recording: Samples) -> bytes:
    """Return an MP3 file at 64 kbit/s."""
    program = imageio_ffmpeg.get_ffmpeg_exe()
    options = ["-hide_banner", "-loglevel", "error", "-i", "pipe:0", "-f", "mp3"]
    command = [program, *options, "-b:a", MP3_BITRATE, "pipe:1"]
    return subprocess.run(command, input=wav(recording), capture_output=True, check=True).stdout
