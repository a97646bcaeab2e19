"""What the tests of accuracy share: a folder of speech and sounds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import soundfile

from asr.config.config import DEMO_MODEL
from tests.conftest import RATE, tone

SAMPLES = DEMO_MODEL.parent / "samples"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two languages, one clip without a text, and a sound."""
    made = tmp_path / "speech"
    texts = {one["file"]: one["text"] for one in json.loads((SAMPLES / "samples.json").read_text())}
    for place, name in (
        ("recordings/es/00", "es-several"),
        ("recordings/es/01", "es-several"),
        ("recordings/en/00", "en-several"),
        ("clips/en/000", "en-short"),
    ):
        audio = made / f"{place}.flac"
        audio.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SAMPLES / f"{name}.flac", audio)
        audio.with_suffix(".txt").write_text(texts[f"{name}.flac"])
    shutil.copy(SAMPLES / "en-short.flac", made / "clips/en/001.flac")
    (made / "sounds").mkdir()
    soundfile.write(made / "sounds" / "hum.wav", tone(1.0), RATE)
    return made
