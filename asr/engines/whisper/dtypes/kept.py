"""Keep what was measured in the cache directory, so that each start chooses the same."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch

from asr.engines.whisper.dtypes.measurement import FORMATS, ModelShape

log = logging.getLogger(__name__)

FOLDER = "dtypes"  # The files lie here in the cache directory, one for each machine and shape.
VERSION = 2  # Files of another version are not read: another one measures something else.
DIGEST_DIGITS = 16  # A file's name has so many hexadecimal digits.
MOST_BYTES = 65_536  # A file of more bytes than this is none of ours.


def fingerprint(shape: ModelShape) -> str:
    """Return all that the figures depend on as JSON: processor, torch and the model's shape.

    The number of threads is not among it, because one thread is measured.
    """
    return json.dumps(
        {
            "version": VERSION,
            "torch": torch.__version__,
            "kernels": torch.backends.cpu.get_cpu_capability(),
            "processor": dict(torch.cpu.get_capabilities()),
            "shape": asdict(shape),
        },
        sort_keys=True,
    )


def place(cache: Path, key: str) -> Path:
    """Return the file for a fingerprint in the cache directory."""
    digest = hashlib.sha256(key.encode()).hexdigest()[:DIGEST_DIGITS]
    return cache / FOLDER / f"{digest}.json"


def read(cache: Path, key: str) -> Mapping[str, float] | None:
    """Return the kept seconds by the name of each format; None where there are none to trust."""
    try:
        with place(cache, key).open("rb") as file:
            kept = json.loads(file.read(MOST_BYTES))
        if kept["key"] != json.loads(key):
            return None
        seconds = {str(name): float(value) for name, value in kept["seconds"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    names = {one.name for one in FORMATS}
    is_sound = "float32" in seconds and seconds.keys() <= names
    is_sound &= all(0 < value < math.inf for value in seconds.values())
    return seconds if is_sound else None


def write(cache: Path, key: str, seconds: Mapping[str, float]) -> None:
    """Keep the seconds; where the directory cannot be written to, they are measured again.

    The file is replaced whole, so that servers that start together never read a part of one.
    """
    path = place(cache, key)
    text = json.dumps({"key": json.loads(key), "seconds": dict(seconds)}, indent=1)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, unfinished = tempfile.mkstemp(dir=path.parent, suffix=".unfinished")
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        Path(unfinished).replace(path)
    except OSError as error:
        log.info("the choice of DTYPE is not kept and made again at each start: %s", error)
