"""Bring about faults: a program that misbehaves under ffmpeg's name, and few resources."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

from tests.support.sounds import FFMPEG

# A shell script with one of these lines stands for ffmpeg.
REAL = f'exec {FFMPEG} "$@"'
SLEEPS = "sleep 1000"
WRITES_NOTHING = "cat > /dev/null; sleep 1000"
READS_SLOWLY = "while head -c 1 > /dev/null; do sleep 0.05; done"
CLOSES_ITS_OUTPUT = "exec >&- 2>&-; sleep 1000"


def program(directory: Path, line: str) -> Path:
    """Write the program `ffmpeg` into a directory: a shell script that runs `line`."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


@contextlib.contextmanager
def limited(kind: int, most: int) -> Iterator[None]:
    """Lower a soft limit of this process, such as RLIMIT_NOFILE; new processes inherit it."""
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))
