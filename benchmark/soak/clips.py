"""Make the soak's recordings: the shipped samples in every format, and files that are broken."""

from __future__ import annotations

import random
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import imageio_ffmpeg

from benchmark.demo import read_samples
from benchmark.paths import SAMPLES

# ffmpeg writes a file with this ending with these options.
FORMATS = {
    "wav": "-c:a pcm_s16le",
    "flac": "-c:a flac",
    "mp3": "-b:a 64k",
    "ogg": "-c:a libvorbis",
    "webm": "-c:a libopus",
    "m4a": "-c:a aac",  # its index is at the end: the server stores such a file
}
LOOPS = 4  # The longest sample is repeated so many times in one file of each lossy format.


@dataclass(frozen=True)
class Clip:
    """Holds one file and its name."""

    name: str
    data: bytes


@cache
def speech() -> tuple[Clip, ...]:
    """Return each sample in one format after the other, and long files in three formats."""
    files = [sample.audio for sample in read_samples(SAMPLES)]
    made = [encoded(file, ending) for file in files for ending in FORMATS]
    longest = max(files, key=lambda file: file.stat().st_size)
    return (*made, *(encoded(longest, ending, LOOPS) for ending in ("mp3", "webm", "m4a")))


def broken(good: Clip) -> list[Clip]:
    """Return bytes that are no audio, or only its beginning."""
    noise = random.Random(0).randbytes(30_000)
    return [
        Clip("empty.wav", b""),
        Clip("noise.bin", noise),
        Clip("noise.mp4", b"\0\0\0\x10ftypM4A \0\0\0\0" + noise),
        Clip(f"half-{good.name}", good.data[: len(good.data) // 2]),
    ]


def encoded(file: Path, ending: str, times: int = 1, seconds: float | None = None) -> Clip:
    """Return a file in the format of `ending`, `times` in a row, or only its first `seconds`."""
    name = f"{file.stem}{f'-x{times}' if times > 1 else ''}{'-short' if seconds else ''}.{ending}"
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / name
        loop = ["-stream_loop", str(times - 1)] if times > 1 else []
        cut = ["-t", f"{seconds:g}"] if seconds else []
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", *loop]
        options = [*FORMATS[ending].split(), *cut]
        subprocess.run([*command, "-i", str(file), *options, str(written)], check=True)
        return Clip(name, written.read_bytes())
