"""The recordings that are played to a server, as the socket takes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from benchmark.accuracy import corpus
from benchmark.demo import read_samples
from benchmark.paths import SAMPLES

RATE = 24_000  # Samples per second of the socket, those that every client of OpenAI sends.
SAMPLE_BYTES = 2  # A sample has 16 bits.
PIECE_SECONDS = 0.1  # A microphone hands on so much audio at a time.
# Silence of so many seconds follows each recording, so that its last utterance ends by itself.
TAIL_SECONDS = 1.5


@dataclass(frozen=True)
class Speech:
    """Holds a recording: its file, what is said in it, and its 16-bit PCM."""

    audio: Path
    text: str
    pcm: bytes

    @property
    def seconds(self) -> float:
        return len(self.pcm) / SAMPLE_BYTES / RATE

    def pieces(self) -> Iterator[bytes]:
        """Yield what a microphone would hand on, and the silence behind it."""
        size = round(PIECE_SECONDS * RATE) * SAMPLE_BYTES
        whole = self.pcm + bytes(round(TAIL_SECONDS * RATE) * SAMPLE_BYTES)
        for start in range(0, len(whole), size):
            yield whole[start : start + size]


def read(folder: Path | None, most: int) -> list[Speech]:
    """Return at most so many recordings of a folder with texts, or the demo model's samples.

    Raises:
        ValueError: the folder has none.
        DemoFailed: there are no samples.
    """
    if folder is None:
        listed = [(one.audio, one.text) for one in read_samples(SAMPLES)]
    else:
        listed = [(one.audio, one.text) for one in corpus.collect(folder)]
    return [Speech(audio, text, pcm(audio)) for audio, text in listed[:most]]


def pcm(audio: Path) -> bytes:
    """Return a file as 16-bit PCM of RATE, its channels mixed."""
    samples, rate = soundfile.read(audio, dtype="float32", always_2d=True)
    mono: npt.NDArray[np.float32] = soxr.resample(samples.mean(axis=1), rate, RATE)
    return (mono.clip(-1, 1) * 32_767).astype("<i2").tobytes()
