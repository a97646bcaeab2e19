"""Make files with the faults of real recordings: python -m tests.support.faulty_files DIRECTORY.

Two sounds may follow the directory: the first is what is to be heard, the second is in the track
that is not to be heard.
"""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from asr.config.config import DEMO_MODEL
from tests.conftest import RATE, wav
from tests.support.raw_audio import write_faults
from tests.support.sounds import FFMPEG, PICTURE

SAMPLES = DEMO_MODEL.parent / "samples"
LATE = 4.087  # Audio that begins late begins after so many seconds.
PACKET = 1024  # A packet of AAC has so many samples; at 16 kHz it lasts 64 ms.
HOLE = (20, 67)  # These packets are lost: 3.008 s from 1.28 s on.
HOLE_START = HOLE[0] * PACKET / RATE  # seconds
HOLE_SECONDS = (HOLE[1] - HOLE[0]) * PACKET / RATE
YEAR = 365 * 86_400  # seconds
AAC = ("-c:a", "aac", "-b:a", "96k")
FILM = ("-map", "0:v", "-map", "1:a", "-c:v", "mpeg4", *AAC, "-t", "60")


@dataclass(frozen=True)
class Sounds:
    """What the files are made of, [samples] each."""

    speech: np.ndarray
    other: np.ndarray


def made(name: str, *arguments: str, **inputs: bytes) -> bytes:
    """Return the file `name` that ffmpeg writes; `{sound}` in an argument is the input `sound`."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        for key, data in inputs.items():
            (place / key).write_bytes(data)
        written = [argument.format(**{key: key for key in inputs}) for argument in arguments]
        command = [FFMPEG, "-nostdin", "-loglevel", "error", "-y", *written, name]
        subprocess.run(command, cwd=place, check=True, timeout=60)
        return (place / name).read_bytes()


def encoded_as(name: str, samples: np.ndarray, *how: str) -> bytes:
    """Return `samples`, [frames] or [frames, channels], as the file `name`."""
    return made(name, "-i", "{sound}", *how, sound=wav(samples, subtype="PCM_16"))


def opposed(speech: np.ndarray) -> np.ndarray:
    """Two channels of which one is connected the wrong way round."""
    return np.stack([speech, -speech], axis=1)


def surround(speech: np.ndarray) -> np.ndarray:
    """Six channels, of which the two in front oppose each other and the others are silent."""
    silence = np.zeros_like(speech)
    return np.stack([speech, -speech, silence, silence, silence, silence], axis=1)


def microphones(speech: np.ndarray) -> np.ndarray:
    """Four microphones in one room, two of them connected the wrong way round."""
    return np.stack([speech, -speech, 0.7 * speech, -0.9 * speech], axis=1)


def two_tracks(name: str, sounds: Sounds) -> bytes:
    """The speech is the second track, and the default one."""
    return made(
        name, "-i", "{other}", "-i", "{speech}", "-map", "0:a", "-map", "1:a", *AAC,
        "-disposition:a:0", "0", "-disposition:a:1", "default",
        "-metadata:s:a:0", "language=fra", "-metadata:s:a:0", "title=Audiodescription",
        "-metadata:s:a:1", "language=eng",
        other=wav(sounds.other), speech=wav(sounds.speech),
    )  # fmt: skip


def late(name: str, sounds: Sounds) -> bytes:
    """The only stream begins late."""
    return made(name, "-itsoffset", f"{LATE}", "-i", "{speech}", *AAC, speech=wav(sounds.speech))


def late_in_film(name: str, sounds: Sounds) -> bytes:
    """The picture begins at once, the audio late."""
    return made(
        name, *PICTURE, "-itsoffset", f"{LATE}", "-i", "{speech}", *FILM, speech=wav(sounds.speech)
    )


def lossy(name: str, sounds: Sounds, drop: str = f"between(n,{HOLE[0]},{HOLE[1] - 1})") -> bytes:
    """Some packets are lost on the way."""
    times = 1 if len(sounds.speech) > 6 * RATE else 3
    whole = encoded_as("whole.mka", np.tile(sounds.speech, times), *AAC)
    return made(name, "-i", "{whole}", "-c", "copy", "-bsf:a", f"noise=drop='{drop}'", whole=whole)


def restarted(name: str, sounds: Sounds) -> bytes:
    """Two transport streams, the clock of the second begins like that of the first."""
    return encoded_as(name, sounds.speech, *AAC) + encoded_as(name, sounds.other, *AAC)


def forged(name: str, sounds: Sounds) -> bytes:
    """The clock jumps by a year in the middle."""
    whole = encoded_as("whole.mka", sounds.speech, *AAC)
    jump = f"setts=ts='TS+if(gte(N,{HOLE[0]}),{YEAR}/TB,0)'"
    return made(name, "-i", "{whole}", "-c", "copy", "-bsf:a", jump, whole=whole)


def quiet(_: str, sounds: Sounds) -> bytes:
    """The loudest sample is at -55 dB."""
    samples = sounds.speech / np.abs(sounds.speech).max() * 10 ** (-55 / 20)
    return wav(samples.astype(np.float32), subtype="PCM_24")


def _of(make: Callable[[np.ndarray], np.ndarray], *how: str) -> Callable[[str, Sounds], bytes]:
    return lambda name, sounds: encoded_as(name, make(sounds.speech), *how)


# Files by their names, and how they are made.
FAULTS: dict[str, Callable[[str, Sounds], bytes]] = {
    "out-of-phase.wav": _of(opposed),
    "out-of-phase.flac": _of(opposed),
    "out-of-phase.mp3": _of(opposed, "-joint_stereo", "0"),
    "out-of-phase.m4a": _of(opposed, *AAC),
    "out-of-phase.ogg": _of(opposed, "-c:a", "libvorbis"),
    "out-of-phase.webm": _of(opposed, "-c:a", "libopus"),
    "out-of-phase-surround.wav": _of(surround),
    "out-of-phase-surround.m4a": _of(surround, *AAC),
    "out-of-phase-microphones.flac": _of(microphones),
    "default-track-second.mkv": two_tracks,
    "default-track-second.mp4": two_tracks,
    "late-start.mka": late,
    "late-start.m4a": late,
    "late-start-in-film.mp4": late_in_film,
    "late-start-in-film.mkv": late_in_film,
    "late-start-in-film.ts": late_in_film,
    "lost-frames.mka": lossy,
    "lost-frames.m4a": lossy,
    "lost-frames.ts": lossy,
    "clock-restarts.ts": restarted,
    "forged-year.mka": forged,
    "quiet.wav": quiet,
}


@functools.cache
def faulty(name: str) -> bytes:
    """Return the file `name`, made of the demo's samples."""
    return FAULTS[name](name, demo_sounds())


@functools.cache
def demo_sounds() -> Sounds:
    return Sounds(read(SAMPLES / "en-short.flac"), read(SAMPLES / "es-several.flac"))


def read(path: Path) -> np.ndarray:
    """Return a sound file as 16 kHz mono, [samples]."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(samples.mean(axis=1), rate, RATE)


def main(arguments: list[str]) -> None:
    """Write every file into a directory; print the curl commands that send them."""
    directory, *sources = map(Path, arguments)
    demo = demo_sounds()
    given = [read(path) for path in sources]
    sounds = Sounds(*[*given, *[demo.speech, demo.other][len(given) :]])
    directory.mkdir(parents=True, exist_ok=True)
    for name, make in FAULTS.items():
        (directory / name).write_bytes(make(name, sounds))
        print(f"curl --data-binary @{directory / name} localhost:8000/asr")
    print(*write_faults(directory, sounds.speech, RATE), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
