"""Read the voices of a speech folder: each one's speech, cut at its pauses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import soundfile
import soxr

from asr.pcm import SAMPLE_RATE, Samples
from benchmark.load.clips import AUDIO_FILE

MANY_VOICES = "en"  # The clips of this language are spoken by many people, and are left out.
FRAME = SAMPLE_RATE // 100  # The level is measured in frames of so many samples: 10 ms.
BELOW_SPEECH = 30.0  # Frames that are quieter than the loud ones by more decibels are a pause.
ABOVE_NOISE = 6.0  # Speech is louder than the quietest frames by at least so many decibels.
QUIETEST = -60.0  # No speech is below this level, in decibels.
SHORTEST_PAUSE = 0.2  # A shorter pause, in seconds, does not end a stretch of speech.
SHORTEST_SPEECH = 0.3  # A shorter stretch, in seconds, is a breath or a click.
MARGIN = 0.02  # Speech begins and ends so many seconds outside of its loud frames.
LEVEL = -23.0  # The speech of every voice is brought to this RMS level, in decibels.
SLOWER = 0.88  # Replayed at this speed, a voice counts as another one.


@dataclass(frozen=True)
class SingleVoice:
    """Names one person's recordings, or the same ones replayed at another speed."""

    name: str
    files: tuple[Path, ...]
    speed: float = 1.0  # of the replay: below 1 the voice is deeper, as a tape's is

    @cached_property
    def stretches(self) -> list[Samples]:
        """The speech without pauses, 0.3 s or more each, in the order of the files."""
        return [part for file in self.files for part in stretches(_read(file, self.speed))]

    def slower(self) -> SingleVoice:
        """The same person's speech, lower and slower: for the networks another person.

        Speed perturbation makes speakers out of speakers where such networks are trained.
        """
        return SingleVoice(f"{self.name}, slower", self.files, self.speed * SLOWER)


def read(folder: Path) -> list[SingleVoice]:
    """Return the voices of `folder`, by name.

    A folder of `clips/`, named after its language, is one voice; so is `english/`, and so is each
    folder of `voices/`.

    Raises:
        ValueError: there are fewer than two.
    """
    groups = [*_folders(folder / "clips"), folder / "english", *_folders(folder / "voices")]
    found = [SingleVoice(one.name, files) for one in groups if (files := _audio(one))]
    if len(found) < 2:
        raise ValueError(f"{folder} has {len(found)} voices: clips/LANGUAGE/ must have audio")
    return found


def half(voices: Sequence[SingleVoice], tuning: bool) -> list[SingleVoice]:
    """Return every other voice: one half for choosing thresholds, the other for figures."""
    return list(voices[0::2] if tuning else voices[1::2])


def enough(voices: Sequence[SingleVoice], count: int) -> list[SingleVoice]:
    """Return at least `count` voices, the last of them replayed ones where people are too few."""
    return [*voices, *(one.slower() for one in voices)][: max(count, len(voices))]


def stretches(samples: Samples) -> Iterator[Samples]:
    """Cut a recording of one voice, [samples], at its pauses; each stretch has the same level."""
    for start, end in spans(samples):
        part = samples[start:end]
        rms = math.sqrt(float(np.mean(part.astype(np.float64) ** 2)))
        yield (part * np.float32(math.pow(10, LEVEL / 20) / max(rms, 1e-9))).clip(-1, 1)


def spans(samples: Samples) -> list[tuple[int, int]]:
    """Return where speech begins and ends, in samples, by its level."""
    loud = _loud(samples)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]]).astype(np.int8)))
    joined: list[list[int]] = []
    for start, end in edges.reshape(-1, 2) * FRAME:
        if joined and start - joined[-1][1] < SHORTEST_PAUSE * SAMPLE_RATE:
            joined[-1][1] = int(end)
        else:
            joined.append([int(start), int(end)])
    margin = round(MARGIN * SAMPLE_RATE)
    wide = ((max(0, start - margin), min(len(samples), end + margin)) for start, end in joined)
    return [(start, end) for start, end in wide if end - start >= SHORTEST_SPEECH * SAMPLE_RATE]


def _loud(samples: Samples) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64)
    if not len(frames):
        return np.zeros(0, np.bool_)
    level = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12)
    quiet, usual = np.percentile(level, [5, 90])
    loud: np.ndarray[tuple[int], np.dtype[np.bool_]] = level > max(
        QUIETEST, usual - BELOW_SPEECH, min(quiet + ABOVE_NOISE, usual - ABOVE_NOISE)
    )
    return loud


def _read(file: Path, speed: float) -> Samples:
    frames, rate = soundfile.read(file, dtype="float32", always_2d=True)
    mono = frames.mean(axis=1)
    samples: Samples = soxr.resample(mono, rate * speed, SAMPLE_RATE).astype(np.float32)
    return samples


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    inside = sorted(one for one in folder.iterdir() if one.is_dir())
    return [one for one in inside if (one.parent.name, one.name) != ("clips", MANY_VOICES)]


def _audio(folder: Path) -> tuple[Path, ...]:
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    return tuple(one for one in inside if AUDIO_FILE.fullmatch(one.name))
