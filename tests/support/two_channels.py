"""Sounds of two channels, and an engine that tells them apart by their pitch."""

from __future__ import annotations

import math

import numpy as np

from asr.engines.engine import Window, WindowResult
from asr.transcript import Segment, Word
from tests.conftest import RATE, tone
from tests.support.sounds import pitch

LOW, HIGH = 300.0, 900.0  # hertz
NAMES = {LOW: "low", HIGH: "high"}
LANGUAGES = {LOW: "en", HIGH: "es"}
SAID_SECONDS = 2.0  # `two_voices` writes a segment for so many seconds.


def two_channels(seconds: float, low: float | None = LOW, high: float | None = HIGH) -> np.ndarray:
    """Return two tones of these pitches, None for silence, [samples, 2]."""
    sounds = [
        0 * tone(seconds) if each is None else tone(seconds, hertz=each) for each in (low, high)
    ]
    return np.stack(sounds, axis=1)


def two_voices(window: Window) -> WindowResult:
    """Transcribe a tone as its name and numbers, one for each two seconds of the recording.

    A number belongs to the window that has the middle of its time. The high voice speaks a second
    later, in Spanish.
    """
    heard = min(NAMES, key=lambda hertz: abs(hertz - pitch(window.samples[:RATE])))
    late = 0.0 if heard == LOW else 1.0
    first, end = (
        math.ceil((moment - late) / SAID_SECONDS - 0.5) for moment in (window.start, window.end)
    )
    segments = []
    for number in range(max(0, first), end):
        begin = number * SAID_SECONDS + late - window.start
        start, stop = max(0.0, begin), min(window.seconds, begin + SAID_SECONDS - 0.2)
        text = f" {NAMES[heard]}{number:02}"
        words = (Word(text, start, stop),) if window.options.timestamps == "word" else ()
        segments.append(Segment(start, stop, text, words))
    return WindowResult(window, tuple(segments), LANGUAGES[heard])
