"""Sounds and words of two speakers, one loud and one quiet, for the fake diarizer."""

from __future__ import annotations

import math

import numpy as np

from asr.engines.engine import Window, WindowResult
from asr.transcript import Segment, Word
from tests.conftest import tone

WORD_SECONDS = 0.5  # `worded` writes a word for so many seconds.


def dialogue(*seconds: float) -> np.ndarray:
    """Return a tone whose loudness changes after each of so many seconds, the loud one first."""
    parts = [tone(length) * (1.0, 0.2)[n % 2] for n, length in enumerate(seconds)]
    return np.concatenate(parts)


def worded(window: Window) -> WindowResult:
    """Transcribe a window as the words whose middle it has, one for each half second of the audio.

    They are numbered from 00, and have times only where they are wanted, as engines do it.
    """
    first, end = (math.ceil(t / WORD_SECONDS - 0.5) for t in (window.start, window.end))
    words = tuple(
        Word(
            f" w{number:02}",
            max(0.0, number * WORD_SECONDS - window.start),
            min(window.seconds, (number + 1) * WORD_SECONDS - window.start),
        )
        for number in range(first, end)
    )
    text = "".join(word.text for word in words)
    shown = words if window.options.timestamps == "word" else ()
    segments = (Segment(0.0, window.seconds, text, shown),) if words else ()
    return WindowResult(window, segments, "en")
