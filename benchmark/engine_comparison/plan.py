"""Plans a comparison of engines from the command line: weights, sounds and levels."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download

from asr.pcm import Samples
from benchmark import recordings
from benchmark.engine_comparison.checkpoints import SIZES, random_checkpoint
from benchmark.engine_comparison.contender import ENTRIES, Entry
from benchmark.engine_comparison.rounds import Level
from benchmark.load.http_overhead import CALLERS, FILES, FORMATS
from benchmark.paths import CACHE, DEMO

RANDOM = "random:"  # Weights with this prefix are random, in the size that follows it.
OURS = "ours"  # Our engine has this name.
CLIP_SECONDS = 5.0  # A clip lasts so many seconds.
CLIP_TOKENS = 17  # A clip of 5 s of English has so many tokens.
# These files of a hub's checkpoint hold the weights once more.
TORCH_FILES = ("*.bin", "*.msgpack", "*.h5")
# The command line has these short names of dtypes.
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "int8": "int8"}


@dataclass(frozen=True)
class Plan:
    """Holds what the command line asks for."""

    weights: str  # demo, random:NAME, a directory, or a hub id
    minutes: float  # of the one file
    against: Sequence[str]  # beginnings of contenders' names; empty: all
    tokens: Sequence[str]  # in each window of the file: numbers, or "drawn"
    clips: Sequence[int]  # callers at once
    rounds: int
    dtypes: Sequence[str]  # of our engine; empty: each that suits the device
    device: str  # "cpu" or "cuda"
    threads: int
    pythons: dict[str, str]  # environment → its Python
    http: bool
    files: Sequence[int]  # of whole requests: seconds of audio in each
    formats: Sequence[str]
    callers: Sequence[int]  # at once
    output: Path | None

    @property
    def is_random(self) -> bool:
        return self.weights.startswith(RANDOM)

    def wants(self, entry: Entry) -> bool:
        if entry.name == OURS or not self.against:
            return True
        return any(entry.name.startswith(name) for name in self.against)

    def dtypes_of(self, entry: Entry) -> Sequence[str]:
        if entry.name.startswith(OURS) and self.dtypes:
            return self.dtypes
        return entry.dtypes if self.device == "cpu" else entry.gpu_dtypes


def read(arguments: Sequence[str] | None) -> Plan | None:
    """Return the plan, or None where only environments are to be installed."""
    options = _parser().parse_args(arguments)
    if options.install:
        return None
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    return Plan(
        weights=options.weights,
        minutes=options.minutes,
        against=[] if options.against == "all" else options.against.split(","),
        tokens=[tokens for tokens in options.tokens.split(",") if tokens],
        clips=_numbers(options.clips),
        rounds=options.rounds,
        dtypes=[DTYPES.get(name, name) for name in options.dtype.split(",") if name],
        device=device,
        threads=options.threads,
        pythons=dict(pair.split("=", 1) for pair in options.python),
        http=options.http,
        files=_numbers(options.files),
        formats=[name for name in options.formats.split(",") if name],
        callers=_numbers(options.callers),
        output=options.json,
    )


def checkpoint(plan: Plan, folder: Path = CACHE) -> Path:
    """Return the directory of all contenders' weights, made in `folder` or downloaded."""
    if plan.is_random:
        name = plan.weights.removeprefix(RANDOM)
        if name not in SIZES:
            raise SystemExit(f"--weights {plan.weights}: there are {', '.join(SIZES)}")
        dtype = torch.float32 if plan.device == "cpu" else torch.float16
        place = folder / f"random-{name}-{str(dtype).removeprefix('torch.')}"
        return random_checkpoint(SIZES[name], place, dtype, plan.device)
    if plan.weights == "demo":
        return DEMO / "weights"
    if Path(plan.weights).is_dir():
        return Path(plan.weights).resolve()
    return Path(snapshot_download(plan.weights, ignore_patterns=list(TORCH_FILES)))


def levels(plan: Plan, folder: Path) -> list[Level]:
    """Return a level for each number of tokens and for each number of callers."""
    sound = recording(plan, 60 * (plan.minutes or 1))
    windows = recordings.windows(sound)
    token_counts = (plan.tokens if plan.is_random else ["natural"]) if plan.minutes else []
    of_clip = str(CLIP_TOKENS) if plan.is_random else "natural"
    files = [
        Level.of(f"file {tokens}", "file", windows, limits(tokens, len(windows)), folder)
        for tokens in token_counts
    ]
    return files + [
        Level.of(
            f"clips {count}",
            "clips",
            recordings.clips(sound, count, CLIP_SECONDS),
            limits(of_clip, count),
            folder,
        )
        for count in plan.clips
    ]


def limits(tokens: str, count: int) -> list[int] | None:
    """Return the token limits of `count` windows; None where the model ends them.

    Args:
        tokens: a number, "drawn" or "natural".
    """
    if tokens == "natural":
        return None
    if tokens == "drawn":
        return recordings.drawn_lengths(count)
    return [int(tokens)] * count


def recording(plan: Plan, seconds: float) -> Samples:
    """Return made-up sound for random weights, else the shipped samples."""
    if plan.is_random:
        return recordings.made_up(seconds)
    samples = DEMO / "samples"
    return recordings.spoken(sorted([*samples.glob("*.wav"), *samples.glob("*.flac")]), seconds)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]


def _listed(values: Sequence[object]) -> str:
    return ",".join(map(str, values))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmark.engines",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    names = ", ".join(f'"{entry.name}"' for entry in ENTRIES)
    add = parser.add_argument
    add("--weights", default="random:small", help="demo, random:SIZE, a directory or a hub id")
    add("--minutes", type=float, default=5.0, help="length of the one long file; 0: no such file")
    add("--against", default="all", help=f"engines to compare with ours, with commas: {names}")
    add(
        "--tokens",
        default="130",
        help="tokens in each window: numbers or 'drawn'; random weights only",
    )
    add("--clips", default="16", help="callers with a clip of 5 s, at once; empty: none")
    add("--rounds", type=int, default=3, help="rounds of each engine, after one to warm up")
    add(
        "--dtype",
        default="",
        help="dtypes of our engine: fp32, bf16, fp16, int8; empty: all that suit the device",
    )
    add("--device", choices=("cpu", "cuda"), help="unset: a GPU if there is one")
    add("--threads", type=int, default=os.cpu_count() or 1, help="threads of each engine, on a CPU")
    add("--http", action="store_true", help="measure whole requests to our server, too")
    add("--files", default=_listed(FILES), help="with --http: seconds of audio in a request")
    add("--formats", default=_listed(FORMATS), help="with --http: formats of the audio")
    add("--callers", default=_listed(CALLERS), help="with --http: callers at once")
    add("--json", type=Path, help="write everything to this file")
    add(
        "--python",
        action="append",
        default=[],
        metavar="ENVIRONMENT=PATH",
        help="Python of an environment",
    )
    add("--install", action="store_true", help="make the other engines' environments, and end")
    return parser
