"""Make twenty sounds in which nobody speaks."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from asr.pcm import SAMPLE_RATE, Samples

Wave = npt.NDArray[np.float64]  # [samples], about -1..1


def sounds(seconds: float) -> dict[str, Samples]:
    """Return the sounds by their names, the same ones every time.

    Their levels go from that of a whisper to that of a shout.
    """
    count = round(seconds * SAMPLE_RATE)
    rng = np.random.default_rng(0)
    moment = np.arange(count) / SAMPLE_RATE
    made: dict[str, Wave] = {
        "digital silence": np.zeros(count),
        "dither": rng.integers(-1, 2, count) / 32768,
        "a quiet room": _decibel(-60) * _coloured(rng, count, 1.0),
        **{f"white noise, {db} dB": _decibel(db) * rng.standard_normal(count)
           for db in (-50, -35, -20)},
        **{f"pink noise, {db} dB": _decibel(db) * _coloured(rng, count, 1.0)
           for db in (-50, -35, -20)},
        "brown noise": _decibel(-25) * _coloured(rng, count, 2.0),
        "hum of 50 Hz": 0.1 * _harmonics(moment, 50.0),
        "hum of 60 Hz in hiss": 0.05 * _harmonics(moment, 60.0) + 0.01 * rng.standard_normal(count),
        "tone of 440 Hz": 0.2 * np.sin(math.tau * 440 * moment),
        "beeps of 1 kHz": 0.3 * np.sin(math.tau * 1000 * moment) * (moment % 1.0 < 0.2),
        "a rising tone": 0.2 * np.sin(math.tau * (100 + 30 * (moment % 20.0)) * (moment % 20.0)),
        "a chord": 0.2 * sum((np.sin(math.tau * f * moment) for f in (262, 330, 392)), 0 * moment)
        / 3,
        "clicks, two a second": _clicks(rng, count, 2.0),
        "clicks, nine a second": _clicks(rng, count, 9.0),
        "breath": _breath(rng, moment, 4.0, 0.02),
        "loud breath": _breath(rng, moment, 2.5, 0.1),
    }  # fmt: skip
    return {name: np.clip(wave, -1, 1).astype(np.float32) for name, wave in made.items()}


def _decibel(level: float) -> float:
    return math.pow(10.0, level / 20)


def _coloured(rng: np.random.Generator, count: int, power: float) -> Wave:
    """Return noise whose power falls with the frequency to the `power`; its RMS is 1."""
    return _shaped(rng, count, lambda hertz: np.maximum(hertz, 20.0) ** (-power / 2))


def _shaped(rng: np.random.Generator, count: int, gain: Callable[[Wave], Wave]) -> Wave:
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hertz = np.asarray(np.fft.rfftfreq(count, 1 / SAMPLE_RATE), np.float64)
    wave = np.fft.irfft(spectrum * gain(hertz), count)
    return np.asarray(wave / wave.std())


def _harmonics(moment: Wave, hertz: float) -> Wave:
    parts = [np.sin(math.tau * hertz * n * moment + n) / n for n in (1, 2, 3, 5)]
    return np.asarray(np.sum(parts, axis=0))


def _clicks(rng: np.random.Generator, count: int, hertz: float) -> Wave:
    """Return short bursts at random moments, like those of a keyboard."""
    wave = np.zeros(count)
    length = SAMPLE_RATE // 200  # 5 ms
    burst = np.exp(-np.arange(length) / (length / 5)) * rng.standard_normal(length)
    for start in rng.integers(0, count - length, round(hertz * count / SAMPLE_RATE)):
        wave[start : start + length] += rng.uniform(0.1, 0.5) * burst
    return wave


def _breath(rng: np.random.Generator, moment: Wave, seconds: float, loudness: float) -> Wave:
    """Return noise from 300 Hz to 3 kHz that swells once every `seconds`."""
    air = _shaped(rng, len(moment), lambda hertz: np.exp(-(np.log(hertz / 900 + 0.01) ** 2)))
    return np.asarray(loudness * air * np.sin(math.pi * moment / seconds) ** 2)
