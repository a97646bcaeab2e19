"""Engines side by side: the same windows, the same weights, one process each, in turn."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import torch
import transformers

if not __package__:  # run as a script: packages are found from the repository's root
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmark import environments, goals, plan, recordings, rivals, roofline, serving, tables
from benchmark.comparison import Level, Results, compare
from benchmark.contenders import ENTRIES, CannotRun, Entry, Settings
from benchmark.goals import Goal
from benchmark.plan import CACHE, ROOT, Plan
from benchmark.rivals import Rival

LONG_MINUTES = 20  # the file whose first segment is waited for
ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}  # of the dtypes that have a roofline
OWN_KERNELS = ("whisper.cpp", "transformers defaults")  # no share of the roofline: others' work


@dataclass
class Comparison:
    """Everything that was found; grows while it runs."""

    plan: Plan
    checkpoint: Path
    machine: dict[str, str]
    peaks: dict[str, roofline.Peak] = field(default_factory=dict)  # dtype → what is possible
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)  # contenders that do not run here
    levels: dict[str, Results] = field(default_factory=dict)
    first_windows: float | None = None  # to a long file's first segment, in window times
    served: list[serving.Served] = field(default_factory=list)
    streamed: serving.First | None = None
    stages: dict[str, dict[str, float]] = field(default_factory=dict)

    def goals(self) -> list[Goal]:
        served = serving.multiples(self.served)
        outside = goals.outside_goals(served, self.plan.threads)
        if self.plan.device == "cpu":
            return [*goals.cpu_goals(self.levels, self.first_windows), *outside]
        return [*goals.gpu_goals(self.plan.weights, self.levels, served), *outside]

    def write(self) -> None:
        if self.plan.output is None:
            return
        found = {**asdict(self), "goals": [asdict(goal) for goal in self.goals()]}
        self.plan.output.write_text(json.dumps(found, indent=2, default=str) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    asked = plan.read(arguments)
    if asked is None:
        environments.install()
        return 0
    CACHE.mkdir(parents=True, exist_ok=True)
    found = Comparison(asked, plan.checkpoint(asked), machine(asked))
    print("\n".join(f"{name}: {value}" for name, value in found.machine.items()), flush=True)
    measure_peaks(found)
    with tempfile.TemporaryDirectory() as folder:
        run(found, Path(folder))
    if asked.http:
        serve(found)
    found.write()
    print("\n".join(goal.judged() for goal in found.goals()))
    return 0


def machine(asked: Plan) -> dict[str, str]:
    """What the figures depend on besides the engines."""
    commit = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    gpu = torch.cuda.get_device_name() if asked.device == "cuda" else "none"
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": subprocess.run(
            commit, capture_output=True, text=True, check=False
        ).stdout.strip(),
        "weights": f"{asked.weights} (no accuracy, no real speech)" * asked.is_random
        or asked.weights,
        "processor": _processor(),
        "threads": str(asked.threads),
        "gpu": gpu,
        "load": f"{os.getloadavg()[0]:.2f} before the start",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def measure_peaks(found: Comparison) -> None:
    """In this process, before any other of the comparison runs."""
    asked = found.plan
    torch.set_num_threads(asked.threads)
    named = {dtype for e in ENTRIES if e.name not in OWN_KERNELS for dtype in asked.dtypes_of(e)}
    for dtype in sorted(named & set(ITEM_BYTES)):
        peak = roofline.measure(torch.device(asked.device), getattr(torch, dtype))
        found.peaks[dtype] = peak
        tell(f"{dtype}: {peak.flops / 1e9:.0f} GFLOP/s, {peak.bandwidth / 1e9:.1f} GB/s")


def run(found: Comparison, folder: Path) -> None:
    """Every level, each contender in its own process."""
    started = start_all(found)
    try:
        for level in plan.levels(found.plan, folder):
            results = compare(level, started, found.plan.rounds, tell)
            add_shares(results, found)
            found.levels[level.name] = results
            print("\n" + tables.table(results) + "\n", flush=True)
            found.write()
        if found.plan.device == "cpu" and found.plan.is_random:
            found.first_windows = first_windows(found.plan, started, folder)
    finally:
        for rival in started:
            rival.stop()


def start_all(found: Comparison) -> list[Rival]:
    """Load every contender that is asked for and can run; the others are listed with why."""
    started = []
    for entry in filter(found.plan.wants, ENTRIES):
        dtypes = found.plan.dtypes_of(entry)
        if not dtypes:
            found.absent[entry.name] = "it is not set up for a GPU here"
        for dtype in dtypes:
            try:
                rival = start(entry, dtype, found)
            except CannotRun as error:
                found.absent[f"{entry.name} {dtype}"] = str(error)
                continue
            found.versions[rival.name] = rival.versions
            started.append(rival)
    for name, why in found.absent.items():
        print(f"left out: {name}: {why}", flush=True)
    return started


def start(entry: Entry, dtype: str, found: Comparison) -> Rival:
    asked = found.plan
    tell(f"loading {entry.name} {dtype}")
    program = environments.program(entry, asked.pythons)
    converted = CACHE / "converted" / found.checkpoint.name
    converted.mkdir(parents=True, exist_ok=True)
    settings = Settings(found.checkpoint, converted, asked.device, dtype, asked.threads)
    log = CACHE / f"{entry.name} {dtype}.log".replace(" ", "-")
    return rivals.start(entry, settings, program, log)


def add_shares(results: Results, found: Comparison) -> None:
    """How much of the machine's own limit each contender used, where that is known."""
    shape = roofline.Shape.of(json.loads((found.checkpoint / "config.json").read_text()))
    for place, one in enumerate(results.figures):
        dtype = one.contender.rpartition(" ")[2]
        if dtype not in found.peaks or one.contender.startswith(OWN_KERNELS):
            continue
        least = roofline.window_seconds(
            shape, found.peaks[dtype], results.level.count, one.tokens, ITEM_BYTES[dtype]
        )
        share = least * one.windows_per_second
        results.figures[place] = replace(one, roofline_share=share)


def first_windows(asked: Plan, started: Sequence[Rival], folder: Path) -> float | None:
    """Our first window of a long file, in times of one window alone; the best of our dtypes."""
    windows = recordings.windows(plan.recording(asked, LONG_MINUTES * 60))
    tokens = plan.limits(str(goals.GOAL_TOKENS), len(windows))
    alone = Level.of("alone", "file", windows[:1], tokens and tokens[:1], folder)
    long = Level.of("long", "first", windows, tokens, folder)
    shares = []
    for rival in started:
        if rival.entry.name != plan.OURS:
            continue
        one = compare(alone, [rival], asked.rounds, tell).figures[0].seconds
        first = compare(long, [rival], 1, tell).figures[0].first
        print(
            f"{rival.name}: first of {len(windows)} windows in {first:.2f} s, one alone {one:.2f} s"
        )
        shares.append(first / one)
    return min(shares, default=None)


def serve(found: Comparison) -> None:
    """Whole requests, and what they cost outside the model."""
    asked = found.plan
    found.stages = serving.stage_costs()
    for format_, costs in found.stages.items():
        shown = ", ".join(f"{stage} {cost:.3f}" for stage, cost in costs.items())
        print(f"CPU outside the model, ms for a second of {format_}: {shown}", flush=True)
    dtype = (asked.dtypes or (["bfloat16"] if asked.device == "cpu" else ["float16"]))[0]
    tokens = next((int(tokens) for tokens in asked.tokens if tokens.isdigit()), goals.GOAL_TOKENS)
    found.served, first = serving.measure(found.checkpoint, asked.device, dtype, tokens, tell)
    found.streamed = first
    print(f"\n### HTTP, {dtype}\n\n{serving.table(found.served)}\n", flush=True)
    print(f"first words, streamed: {first.alone:.2f} s of one window, {first.long:.2f} s of 19:51")


def tell(line: str) -> None:
    """What is going on, apart from the results."""
    print(line, file=sys.stderr, flush=True)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.partition(':')[2].strip()}, {os.cpu_count()} cores"
    return platform.processor()


if __name__ == "__main__":
    sys.exit(main())
