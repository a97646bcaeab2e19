"""What the tests of diarization share: a folder of voices, each a tone of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE, tone

VOICES = ("clips/ca", "clips/en", "clips/es", "english", "voices/ana", "voices/ben")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five voices, and clips of English, of whom many speak."""
    made = tmp_path / "speech"
    for number, place in enumerate(VOICES):
        (made / place).mkdir(parents=True)
        for clip in range(3):
            parts = [silence(0.3), tone(0.6 + 0.4 * clip, hertz=300 + 100 * number), silence(0.3)]
            soundfile.write(made / place / f"{clip}.flac", np.concatenate(parts), RATE)
    return made


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)
