"""Read a folder of recordings and clips by language, and of sounds without speech.

`tests/README.md` describes the folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

from benchmark.load.clips import AUDIO_FILE

RECORDINGS, CLIPS, SOUNDS = "recordings", "clips", "sounds"
TRIALS = (RECORDINGS, CLIPS, SOUNDS)  # The folder has a subfolder for each of these.


@dataclass(frozen=True)
class Sample:
    """Names a file of the folder, and what is spoken in it."""

    trial: str
    audio: Path
    seconds: float
    language: str = ""  # Whisper's code; empty: nobody speaks
    text: str = ""

    @property
    def name(self) -> str:
        return "/".join(filter(None, [self.trial, self.language, self.audio.name]))


def trials_of(folder: Path) -> list[str]:
    """Return the trials for which `folder` has a subfolder."""
    return [trial for trial in TRIALS if (folder / trial).is_dir()]


def read(folder: Path, trials: Sequence[str], most: int | None = None) -> list[Sample]:
    """Return the samples of the trials, at most `most` of each language, sorted by name.

    Raises:
        ValueError: a trial has no samples, or a file is not audio.
    """
    samples = []
    for trial in trials:
        found = list(_samples(folder / trial, trial, most))
        if not found:
            raise ValueError(f"{folder / trial} has no {_needed(trial)}")
        samples += found
    return samples


def _needed(trial: str) -> str:
    return "audio" if trial == SOUNDS else "audio in folders of languages, as es/a.ogg with a.txt"


def _samples(folder: Path, trial: str, most: int | None) -> Iterator[Sample]:
    if trial == SOUNDS:
        for audio in _audio(folder):
            yield Sample(trial, audio, _seconds(audio))
        return
    for language in sorted(folder.iterdir()) if folder.is_dir() else ():
        texts = [one for one in _audio(language) if one.with_suffix(".txt").is_file()]
        for audio in texts[:most]:
            text = " ".join(audio.with_suffix(".txt").read_text(encoding="utf-8").split())
            yield Sample(trial, audio, _seconds(audio), language.name, text)


def _audio(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(one for one in folder.iterdir() if AUDIO_FILE.fullmatch(one.name))


def _seconds(audio: Path) -> float:
    try:
        return float(soundfile.info(audio).duration)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{audio} cannot be read: use WAV, FLAC, Ogg or MP3") from error
