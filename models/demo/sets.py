"""What the model is measured on: held-out sentences in held-out voices, made anew."""

import math
import random

import numpy as np

from models.demo.speech import SAMPLE_RATE
from models.demo.synthesise import Recording, recording
from models.demo.world import LANGUAGES

WINDOW = 30  # seconds


def windows(
    count: int, snr_db: float | None = None, languages: tuple[str, ...] = LANGUAGES
) -> list[Recording]:
    """Full windows, languages in turn, one or two voices."""
    return [
        recording(
            WINDOW, languages[seed % len(languages)], 1000 + seed, snr_db, voices=1 + seed % 3 // 2
        )
        for seed in range(count)
    ]


def clips(
    count: int, snr_db: float | None = None, languages: tuple[str, ...] = LANGUAGES
) -> list[Recording]:
    """Recordings of 2 to 12 s."""
    rng = random.Random(0)
    return [
        recording(rng.uniform(2, 12), languages[seed % len(languages)], 2000 + seed, snr_db)
        for seed in range(count)
    ]


def long_recordings(language: str, count: int) -> list[Recording]:
    """Recordings of two minutes and a half with two voices."""
    return [recording(150, language, 3000 + seed, voices=2) for seed in range(count)]


def noises(count: int) -> dict[str, list[Recording]]:
    """Windows without speech, from quiet to loud."""
    generator = np.random.default_rng(0)
    samples = WINDOW * SAMPLE_RATE
    levels = [10 ** (level / 20) for level in np.linspace(-60, -15, count)]
    seconds = np.arange(samples) / SAMPLE_RATE
    hum = sum(np.sin(math.tau * 50 * part * seconds + part) / part for part in (1, 2, 3, 5))
    tone = np.sin(math.tau * 1000 * seconds)
    kinds = {
        "silence": [np.zeros(samples) for _ in levels],
        "white noise": [level * generator.standard_normal(samples) for level in levels],
        "hum": [level * hum for level in levels],
        "tone": [level * tone for level in levels],
    }
    return {
        name: [Recording(np.clip(part, -1, 1).astype(np.float32), (), "en") for part in parts]
        for name, parts in kinds.items()
    }
