"""Compare engines on the same windows and weights, each in its own process.

They take turns.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from benchmark import recordings
from benchmark.engine_comparison import (
    contender_process,
    environments,
    formats,
    goals,
    machine,
    plan,
    roofline,
    tables,
)
from benchmark.engine_comparison.contender import ENTRIES, CannotRun, Entry, Settings
from benchmark.engine_comparison.contender_process import ContenderProcess
from benchmark.engine_comparison.formats import Choice
from benchmark.engine_comparison.goals import Goal
from benchmark.engine_comparison.plan import Plan
from benchmark.engine_comparison.rounds import Level, Results, compare
from benchmark.load import http_overhead, server_process, stages
from benchmark.load.http_overhead import Case, First, HttpFigures
from benchmark.load.server_engines import MUTE
from benchmark.load.server_process import WHISPER, Setup
from benchmark.paths import CACHE

LONG_MINUTES = 20  # The file whose first segment is waited for lasts so many minutes.
# A number in these dtypes has so many bytes; other dtypes have no roofline.
ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# These have no share of the roofline, because their work is another.
OWN_KERNELS = ("whisper.cpp", "transformers defaults")


@dataclass
class Comparison:
    """Collects all figures of a comparison while it runs."""

    plan: Plan
    checkpoint: Path
    machine: dict[str, str]
    peaks: dict[str, roofline.Peak] = field(default_factory=dict)  # dtype → what is possible
    int8_flops: float | None = None  # operations per second, of our engine
    choice: Choice | None = None  # what DTYPE=auto chooses, on a CPU
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)  # contenders that do not run here
    levels: dict[str, Results] = field(default_factory=dict)
    first_windows: float | None = None  # to a long file's first segment, in window times
    served: list[HttpFigures] = field(default_factory=list)
    streamed: First | None = None
    stages: dict[str, dict[str, float]] = field(default_factory=dict)  # format → stage → ms

    def goals(self) -> list[Goal]:
        multiples = http_overhead.multiples(self.served)
        outside = goals.outside_goals(multiples, self.plan.threads)
        if self.plan.device == "cpu":
            own = goals.cpu_goals(self.plan.weights, self.levels, self.first_windows, self.choice)
            return [*own, *outside]
        return [*goals.gpu_goals(self.plan.weights, self.levels, multiples), *outside]

    def plain(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "goals": [asdict(goal) for goal in self.goals()]}

    def write(self) -> None:
        if self.plan.output is not None:
            machine.write(self.plan.output, self.plain())


def main(arguments: Sequence[str] | None = None) -> int:
    run_plan = plan.read(arguments)
    if run_plan is None:
        environments.install()
        return 0
    CACHE.mkdir(parents=True, exist_ok=True)
    comparison = Comparison(run_plan, plan.checkpoint(run_plan), machine.described(run_plan))
    print("\n".join(f"{name}: {value}" for name, value in comparison.machine.items()), flush=True)
    measure_peaks(comparison)
    with tempfile.TemporaryDirectory() as folder:
        run(comparison, Path(folder))
    if run_plan.http:
        serve(comparison)
    comparison.write()
    print("\n".join(goal.judged() for goal in comparison.goals()))
    return 0


def measure_peaks(comparison: Comparison) -> None:
    """Measure the machine's peaks for each dtype that has a roofline, and what is chosen by them.

    This happens in this process, before any other of the comparison runs.
    """
    run_plan = comparison.plan
    torch.set_num_threads(run_plan.threads)
    named = {dtype for e in ENTRIES if e.name not in OWN_KERNELS for dtype in run_plan.dtypes_of(e)}
    is_cpu = run_plan.device == "cpu"
    possible = formats.supported() if is_cpu else ITEM_BYTES
    for dtype in sorted(named & set(ITEM_BYTES) & set(possible)):
        peak = roofline.measure(torch.device(run_plan.device), getattr(torch, dtype))
        comparison.peaks[dtype] = peak
        print(f"{dtype}: {peak.flops / 1e9:.0f} GFLOP/s, {peak.bandwidth / 1e9:.1f} GB/s")
    if is_cpu:
        comparison.int8_flops = roofline.int8_flops()
        speed = f"{comparison.int8_flops / 1e9:.0f} GFLOP/s" if comparison.int8_flops else "none"
        comparison.choice = formats.choice(comparison.checkpoint)
        print(f"int8: {speed}\nDTYPE=auto: {comparison.choice.name} ({comparison.choice.reason})")


def run(comparison: Comparison, folder: Path) -> None:
    """Measure every level, with each contender in its own process."""
    levels = plan.levels(comparison.plan, folder)
    if not levels:
        return
    started = start_all(comparison)
    try:
        for level in levels:
            results = compare(level, started, comparison.plan.rounds, tell)
            take_in(results, comparison)
            comparison.write()
        if comparison.plan.device == "cpu" and comparison.plan.is_random:
            comparison.first_windows = first_windows(comparison.plan, started, folder)
    finally:
        for contender in started:
            contender.stop()


def start_all(comparison: Comparison) -> list[ContenderProcess]:
    """Load every wanted contender that can run; list the others with the reason."""
    started = []
    for entry in filter(comparison.plan.wants, ENTRIES):
        dtypes = comparison.plan.dtypes_of(entry)
        if not dtypes:
            comparison.absent[entry.name] = "it is not set up for a GPU here"
        for dtype in dtypes:
            try:
                contender = start(entry, dtype, comparison)
            except CannotRun as error:
                comparison.absent[f"{entry.name} {dtype}"] = str(error)
                continue
            comparison.versions[contender.name] = contender.versions
            started.append(contender)
    for name, why in comparison.absent.items():
        print(f"left out: {name}: {why}", flush=True)
    return started


def start(entry: Entry, dtype: str, comparison: Comparison) -> ContenderProcess:
    run_plan = comparison.plan
    tell(f"loading {entry.name} {dtype}")
    program = environments.program(entry, run_plan.pythons)
    converted = CACHE / "converted" / comparison.checkpoint.name
    converted.mkdir(parents=True, exist_ok=True)
    settings = Settings(comparison.checkpoint, converted, run_plan.device, dtype, run_plan.threads)
    return contender_process.start(entry, settings, program, log_of(entry, dtype))


def log_of(entry: Entry, dtype: str) -> Path:
    """Return the file that gets the standard error of a contender's process."""
    return CACHE / f"{entry.name} {dtype}.log".replace(" ", "-")


def take_in(results: Results, comparison: Comparison) -> None:
    """Keep and print a level's results, with each contender's share of the roofline."""
    shape = roofline.Shape.of(json.loads((comparison.checkpoint / "config.json").read_text()))
    for place, one in enumerate(results.figures):
        dtype = one.contender.rpartition(" ")[2]
        if dtype not in comparison.peaks or one.contender.startswith(OWN_KERNELS):
            continue
        least = roofline.window_seconds(
            shape, comparison.peaks[dtype], results.level.count, one.tokens, ITEM_BYTES[dtype]
        )
        share = least * one.windows_per_second
        results.figures[place] = replace(one, roofline_share=share)
    comparison.levels[results.level.name] = results
    print("\n" + tables.table(results) + "\n", flush=True)


def first_windows(
    run_plan: Plan, started: Sequence[ContenderProcess], folder: Path
) -> float | None:
    """Measure the wait for a long file's first window, in times of one alone.

    The best of our dtypes counts.
    """
    windows = recordings.windows(plan.recording(run_plan, LONG_MINUTES * 60))
    tokens = plan.limits(str(goals.GOAL_TOKENS), len(windows))
    alone = Level.of("alone", "file", windows[:1], tokens and tokens[:1], folder)
    long = Level.of("long", "first", windows, tokens, folder)
    shares = []
    for contender in started:
        if contender.entry.name != plan.OURS:
            continue
        one = compare(alone, [contender], run_plan.rounds, tell).figures[0].seconds
        first = compare(long, [contender], 1, tell).figures[0].first
        print(
            f"{contender.name}: first of {len(windows)} windows in {first:.2f} s, "
            f"one alone {one:.2f} s"
        )
        shares.append(first / one)
    return min(shares, default=None)


def serve(comparison: Comparison) -> None:
    """Measure whole requests, and what they cost outside the model."""
    comparison.stages = {name: stage_costs(name) for name in comparison.plan.formats}
    print(f"\n{http_overhead.stage_table(comparison.stages)}\n", flush=True)
    for setup, cases in servers(comparison):
        with server_process.running_server(setup) as server:
            for case in cases:
                comparison.served.append(http_overhead.measured(server, setup, case))
                tell(http_overhead.in_one_line(comparison.served[-1]))
                comparison.write()
            if setup.engine == WHISPER and comparison.streamed is None:
                comparison.streamed = http_overhead.first(server)
    print(f"\n### HTTP\n\n{http_overhead.table(comparison.served)}\n")
    print(comparison.streamed or "")


def stage_costs(format_: str) -> dict[str, float]:
    clip, _ = http_overhead.made(format_, http_overhead.LONG)
    return asyncio.run(stages.measure(clip.data or b""))


def servers(comparison: Comparison) -> Iterator[tuple[Setup, list[Case]]]:
    """Yield each server to start, with the cases that it gets.

    The mute one comes first, for what is outside the model. One for each number of tokens follows;
    the first of these gets all cases.
    """
    run_plan = comparison.plan
    dtype = (run_plan.dtypes or ["auto"])[0]
    mute = Setup(MUTE, comparison.checkpoint, run_plan.device, dtype)
    tokens: Sequence[str | None] = (run_plan.tokens if run_plan.is_random else ()) or [None]
    first, *others = [replace(mute, engine=WHISPER, tokens=one) for one in tokens]
    sent = run_plan.files, run_plan.formats
    few = [count for count in run_plan.callers if count in http_overhead.MUTE_CALLERS]
    short = [seconds for seconds in run_plan.files if seconds <= http_overhead.WINDOW]
    some = [count for count in run_plan.callers if count == http_overhead.TOKEN_CALLERS]
    wanted = [(mute, http_overhead.cases(MUTE, *sent, few))]
    wanted += [(first, http_overhead.cases(run_plan.device, *sent, run_plan.callers))]
    wanted += [
        (one, http_overhead.cases(run_plan.device, short, sent[1][:1], some)) for one in others
    ]
    yield from ((setup, cases) for setup, cases in wanted if cases)


def tell(line: str) -> None:
    """Print a line of progress to standard error, apart from the results."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
