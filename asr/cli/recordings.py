"""Which files are to be transcribed, and where their outputs go."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Literal

import click

Format = Literal["text", "srt", "vtt", "lrc", "tsv", "json", "verbose_json"]

# In a folder, files with these suffixes are audio; a file that is named is taken as it is.
AUDIO_SUFFIXES = {
    f".{suffix}"
    for suffix in (
        *("3gp", "aac", "ac3", "aif", "aiff", "amr", "ape", "asf", "au", "avi", "caf", "flac"),
        *("flv", "m4a", "m4b", "m4v", "mka", "mkv", "mov", "mp2", "mp3", "mp4", "mpeg", "mpg"),
        *("oga", "ogg", "opus", "ra", "ts", "tta", "w64", "wav", "webm", "wma", "wmv"),
    )
}
SUFFIXES: Mapping[Format, str] = MappingProxyType(
    {
        "text": ".txt",
        "srt": ".srt",
        "vtt": ".vtt",
        "lrc": ".lrc",
        "tsv": ".tsv",
        "json": ".json",
        "verbose_json": ".verbose.json",
    }
)


@dataclass(frozen=True)
class Recording:
    """An audio file and its outputs, by format."""

    audio: Path
    outputs: Mapping[Format, Path]

    @property
    def is_done(self) -> bool:
        """Whether every output is there, and none is older than the audio."""
        try:
            changed = self.audio.stat().st_mtime_ns
            return all(path.stat().st_mtime_ns >= changed for path in self.outputs.values())
        except OSError:
            return False


def find(
    paths: Sequence[Path], formats: Sequence[Format], directory: Path | None
) -> list[Recording]:
    """The recordings that are named or lie in folders that are, in order.

    Args:
        directory: for the outputs, in which folders are as they are below the one that is named;
            None: each output lies beside its audio.

    Raises:
        click.UsageError: there are none, or two have the same output.
    """
    places: dict[Path, Path] = {}
    for path in paths:
        for audio, below in audio_at(path):
            places.setdefault(audio, audio if directory is None else directory / below)
    if not places:
        raise click.UsageError("there is no audio: name files, or folders that have some")
    stems = Counter(place.with_suffix("") for place in places.values())
    recordings = []
    for audio, place in places.items():
        is_alone = stems[place.with_suffix("")] == 1
        name = place.stem if is_alone else place.name  # of a.mp3 and a.wav: a.mp3.srt, a.wav.srt
        outputs = {each: place.with_name(name + SUFFIXES[each]) for each in formats}
        recordings.append(Recording(audio, outputs))
    _check_apart(recordings)
    return recordings


def audio_at(path: Path) -> Iterator[tuple[Path, PurePath]]:
    """The audio files at `path`, each with its place below the folder that was named."""
    if not path.is_dir():
        yield path, PurePath(path.name)
        return
    for folder, inner, names in os.walk(path):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(names):
            audio = Path(folder, name)
            if audio.suffix.lower() in AUDIO_SUFFIXES and not name.startswith("."):
                yield audio, audio.relative_to(path)


def _check_apart(recordings: Sequence[Recording]) -> None:
    owners: dict[Path, Path] = {}
    for recording in recordings:
        for output in recording.outputs.values():
            other = owners.setdefault(output, recording.audio)
            if other != recording.audio:
                raise click.UsageError(
                    f"{other} and {recording.audio} would both be written to {output}: "
                    "transcribe them into different directories"
                )
