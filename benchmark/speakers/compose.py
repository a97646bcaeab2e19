"""Compose recordings of several speakers whose turns are known to the sample."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from asr.pcm import SAMPLE_RATE, Samples
from benchmark.speakers.voices import LEVEL, SingleVoice

PAUSE = (0.1, 0.35)  # Within a turn speech stops for so many seconds, which are nobody's.
GAP = (0.1, 0.8)  # Between turns nobody speaks for so many seconds.
OVERLAP = (0.5, 2.0)  # A turn that overlaps the one before begins so many seconds before its end.
DIFFERENCE = 3.0  # A speaker is louder or quieter than usual by at most so many decibels.
ROOM = -65.0  # The quietest moment has noise of this RMS level, in decibels.
NOISE_SECONDS = 30  # Noise repeats itself after so many seconds.
BLOCK = 60 * SAMPLE_RATE  # So many samples are mixed and written at a time.


@dataclass(frozen=True)
class Case:
    """Says how a recording is composed; equal cases give equal samples."""

    name: str
    speakers: int
    seconds: float
    seed: int
    turn: tuple[float, float] = (2.0, 8.0)  # seconds, from the shortest to the longest
    overlapping: float = 0.0  # share of turns that begin before the one before has ended
    noise: float | None = None  # signal-to-noise ratio, in decibels; None: a quiet room
    kind: str = "turns"


@dataclass(frozen=True)
class Placed:
    """Says where a stretch of speech lies in a recording."""

    start: int  # samples
    speaker: int
    samples: Samples
    gain: float

    @property
    def end(self) -> int:
        return self.start + len(self.samples)


Reference = list[tuple[float, float, str]]  # start and end in seconds, and who speaks


@dataclass(frozen=True)
class Composed:
    """Holds a recording before it is mixed."""

    case: Case
    placed: list[Placed]  # by start
    names: list[str]  # of the speakers

    @property
    def seconds(self) -> float:
        return self.length / SAMPLE_RATE

    @property
    def length(self) -> int:
        """Samples; the recording ends with half a second of silence."""
        return max(one.end for one in self.placed) + SAMPLE_RATE // 2

    @property
    def reference(self) -> Reference:
        """Who speaks when; a pause within a turn is nobody's."""
        spoken = [(one.start, one.end, self.names[one.speaker]) for one in self.placed]
        return [(start / SAMPLE_RATE, end / SAMPLE_RATE, name) for start, end, name in spoken]

    def blocks(self) -> Iterator[Samples]:
        """Mix the recording block by block."""
        noise = _noise(self.case)
        first = 0
        for start in range(0, self.length, BLOCK):
            end = min(start + BLOCK, self.length)
            mixed = np.take(noise, np.arange(start, end), mode="wrap")
            while self.placed[first].end <= start and first < len(self.placed) - 1:
                first += 1
            for one in self.placed[first:]:
                if one.start >= end:
                    break
                _add(one, mixed, start)
            yield mixed.clip(-1, 1)

    def write(self, file: Path) -> None:
        """Write the recording as FLAC of 16 bits, and its reference beside it as RTTM."""
        file.parent.mkdir(parents=True, exist_ok=True)
        with soundfile.SoundFile(file, "w", SAMPLE_RATE, 1, "PCM_16", format="FLAC") as audio:
            for block in self.blocks():
                audio.write(block)
        lines = [
            f"SPEAKER {file.stem} 1 {start:.3f} {end - start:.3f} <NA> <NA> "
            f"{name.replace(' ', '_')} <NA> <NA>\n"
            for start, end, name in self.reference
        ]
        file.with_suffix(".rttm").write_text("".join(lines))


def compose(case: Case, voices: Sequence[SingleVoice]) -> Composed:
    """Place turns of `case.speakers` of the voices one after the other.

    Everybody speaks once before anybody speaks twice; no speaker follows himself, unless alone.
    """
    rng = np.random.default_rng(case.seed)
    chosen = [voices[index] for index in rng.permutation(len(voices))[: case.speakers]]
    speeches = [_Speech(voice.stretches, rng) for voice in chosen]
    gains = [math.pow(10, rng.uniform(-DIFFERENCE, DIFFERENCE) / 20) for _ in chosen]
    placed: list[Placed] = []
    now, turns, last = SAMPLE_RATE // 4, 0, -1
    while now < case.seconds * SAMPLE_RATE or turns < case.speakers:
        speaker = turns if turns < case.speakers else _next(rng, case.speakers, last)
        turn = _turn(speeches[speaker], rng.uniform(*case.turn), now, speaker, gains[speaker], rng)
        placed += turn
        overlaps = rng.random() < case.overlapping
        shortest = (turn[-1].end - turn[0].start) / SAMPLE_RATE - 0.1
        shift = -min(rng.uniform(*OVERLAP), shortest) if overlaps else rng.uniform(*GAP)
        now = turn[-1].end + round(shift * SAMPLE_RATE)
        turns, last = turns + 1, speaker
    placed.sort(key=lambda one: one.start)
    return Composed(case, placed, [voice.name for voice in chosen])


class _Speech:
    """Gives one voice's stretches in a random order, again and again."""

    def __init__(self, stretches: Sequence[Samples], rng: np.random.Generator) -> None:
        self._stretches = stretches
        self._rng = rng
        self._order: list[int] = []

    def take(self, longest: float) -> Samples:
        """Return the next stretch, of at most about `longest` seconds where there is one."""
        if not self._order:
            self._order = [int(one) for one in self._rng.permutation(len(self._stretches))]
        fitting = [
            place
            for place, one in enumerate(self._order)
            if len(self._stretches[one]) <= longest * SAMPLE_RATE
        ]
        chosen = self._stretches[self._order.pop(fitting[0] if fitting else 0)]
        return chosen[: max(1, round(longest * SAMPLE_RATE))]


def _turn(
    speech: _Speech, seconds: float, now: int, speaker: int, gain: float, rng: np.random.Generator
) -> list[Placed]:
    """Place stretches from `now` on until `seconds` are nearly full."""
    turn = [Placed(now, speaker, speech.take(seconds), gain)]
    while (left := seconds - (turn[-1].end - now) / SAMPLE_RATE) > 1.0:
        pause = rng.uniform(*PAUSE)
        start = turn[-1].end + round(pause * SAMPLE_RATE)
        turn.append(Placed(start, speaker, speech.take(left - pause), gain))
    return turn


def _next(rng: np.random.Generator, speakers: int, last: int) -> int:
    others = [one for one in range(speakers) if one != last or speakers == 1]
    return int(rng.choice(others))


def _add(one: Placed, mixed: Samples, start: int) -> None:
    """Add what of a stretch lies in a block that begins at `start`."""
    begin, end = max(one.start, start), min(one.end, start + len(mixed))
    if begin < end:
        part = one.samples[begin - one.start : end - one.start]
        mixed[begin - start : end - start] += part * np.float32(one.gain)


def _noise(case: Case) -> Samples:
    """Pink noise of a room; with `case.noise`, so many decibels below usual speech."""
    level = ROOM if case.noise is None else LEVEL - case.noise
    rng = np.random.default_rng(case.seed)
    spectrum = np.fft.rfft(rng.standard_normal(NOISE_SECONDS * SAMPLE_RATE))
    hertz = np.fft.rfftfreq(NOISE_SECONDS * SAMPLE_RATE, 1 / SAMPLE_RATE)
    wave = np.fft.irfft(spectrum / np.sqrt(np.maximum(hertz, 20.0)))
    scaled: Samples = (wave / np.std(wave) * math.pow(10, level / 20)).astype(np.float32)
    return scaled
