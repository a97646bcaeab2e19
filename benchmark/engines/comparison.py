"""Engines side by side: the same windows, the same weights, one process each, in turn."""

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
from benchmark.engines import (
    contender_process,
    environments,
    goals,
    machine,
    plan,
    roofline,
    tables,
)
from benchmark.engines.contender import ENTRIES, CannotRun, Entry, Settings
from benchmark.engines.contender_process import ContenderProcess
from benchmark.engines.goals import Goal
from benchmark.engines.plan import Plan
from benchmark.engines.rounds import Level, Results, compare
from benchmark.load import http_overhead, server_process, stages
from benchmark.load.http_overhead import Case, First, HttpFigures
from benchmark.load.server_engines import MUTE
from benchmark.load.server_process import WHISPER, Setup
from benchmark.paths import CACHE

LONG_MINUTES = 20  # The file whose first segment is waited for lasts so many minutes.
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
    served: list[HttpFigures] = field(default_factory=list)
    streamed: First | None = None
    stages: dict[str, dict[str, float]] = field(default_factory=dict)  # format → stage → ms

    def goals(self) -> list[Goal]:
        found = http_overhead.multiples(self.served)
        outside = goals.outside_goals(found, self.plan.threads)
        if self.plan.device == "cpu":
            return [*goals.cpu_goals(self.levels, self.first_windows), *outside]
        return [*goals.gpu_goals(self.plan.weights, self.levels, found), *outside]

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "goals": [asdict(goal) for goal in self.goals()]}

    def write(self) -> None:
        if self.plan.output is not None:
            machine.write(self.plan.output, self.plain())


def main(arguments: Sequence[str] | None = None) -> int:
    asked = plan.read(arguments)
    if asked is None:
        environments.install()
        return 0
    CACHE.mkdir(parents=True, exist_ok=True)
    found = Comparison(asked, plan.checkpoint(asked), machine.described(asked))
    print("\n".join(f"{name}: {value}" for name, value in found.machine.items()), flush=True)
    measure_peaks(found)
    with tempfile.TemporaryDirectory() as folder:
        run(found, Path(folder))
    if asked.http:
        serve(found)
    found.write()
    print("\n".join(goal.judged() for goal in found.goals()))
    return 0


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
    levels = plan.levels(found.plan, folder)
    if not levels:
        return
    started = start_all(found)
    try:
        for level in levels:
            results = compare(level, started, found.plan.rounds, tell)
            take_in(results, found)
            found.write()
        if found.plan.device == "cpu" and found.plan.is_random:
            found.first_windows = first_windows(found.plan, started, folder)
    finally:
        for contender in started:
            contender.stop()


def start_all(found: Comparison) -> list[ContenderProcess]:
    """Load every contender that is asked for and can run; the others are listed with why."""
    started = []
    for entry in filter(found.plan.wants, ENTRIES):
        dtypes = found.plan.dtypes_of(entry)
        if not dtypes:
            found.absent[entry.name] = "it is not set up for a GPU here"
        for dtype in dtypes:
            try:
                contender = start(entry, dtype, found)
            except CannotRun as error:
                found.absent[f"{entry.name} {dtype}"] = str(error)
                continue
            found.versions[contender.name] = contender.versions
            started.append(contender)
    for name, why in found.absent.items():
        print(f"left out: {name}: {why}", flush=True)
    return started


def start(entry: Entry, dtype: str, found: Comparison) -> ContenderProcess:
    asked = found.plan
    tell(f"loading {entry.name} {dtype}")
    program = environments.program(entry, asked.pythons)
    converted = CACHE / "converted" / found.checkpoint.name
    converted.mkdir(parents=True, exist_ok=True)
    settings = Settings(found.checkpoint, converted, asked.device, dtype, asked.threads)
    return contender_process.start(entry, settings, program, log_of(entry, dtype))


def log_of(entry: Entry, dtype: str) -> Path:
    """Where a contender's process says what it says."""
    return CACHE / f"{entry.name} {dtype}.log".replace(" ", "-")


def take_in(results: Results, found: Comparison) -> None:
    """Keep a level and print it, with what share each contender used of the machine's limit."""
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
    found.levels[results.level.name] = results
    print("\n" + tables.table(results) + "\n", flush=True)


def first_windows(asked: Plan, started: Sequence[ContenderProcess], folder: Path) -> float | None:
    """Our first window of a long file, in times of one window alone; the best of our dtypes."""
    windows = recordings.windows(plan.recording(asked, LONG_MINUTES * 60))
    tokens = plan.limits(str(goals.GOAL_TOKENS), len(windows))
    alone = Level.of("alone", "file", windows[:1], tokens and tokens[:1], folder)
    long = Level.of("long", "first", windows, tokens, folder)
    shares = []
    for contender in started:
        if contender.entry.name != plan.OURS:
            continue
        one = compare(alone, [contender], asked.rounds, tell).figures[0].seconds
        first = compare(long, [contender], 1, tell).figures[0].first
        print(
            f"{contender.name}: first of {len(windows)} windows in {first:.2f} s, "
            f"one alone {one:.2f} s"
        )
        shares.append(first / one)
    return min(shares, default=None)


def serve(found: Comparison) -> None:
    """Whole requests, and what they cost outside the model."""
    found.stages = {name: stage_costs(name) for name in found.plan.formats}
    print(f"\n{http_overhead.stage_table(found.stages)}\n", flush=True)
    for setup, cases in servers(found):
        with server_process.running_server(setup) as server:
            for case in cases:
                found.served.append(http_overhead.measured(server, setup, case))
                tell(http_overhead.in_one_line(found.served[-1]))
                found.write()
            if setup.engine == WHISPER and found.streamed is None:
                found.streamed = http_overhead.first(server)
    print(f"\n### HTTP\n\n{http_overhead.table(found.served)}\n")
    print(found.streamed or "")


def stage_costs(format_: str) -> dict[str, float]:
    clip, _ = http_overhead.made(format_, http_overhead.LONG)
    return asyncio.run(stages.measure(clip.data or b""))


def servers(found: Comparison) -> Iterator[tuple[Setup, list[Case]]]:
    """Mute for what is outside the model, then for each number of tokens; the first at length."""
    asked = found.plan
    dtype = (asked.dtypes or (["bfloat16"] if asked.device == "cpu" else ["float16"]))[0]
    mute = Setup(MUTE, found.checkpoint, asked.device, dtype)
    tokens: Sequence[str | None] = (asked.tokens if asked.is_random else ()) or [None]
    first, *others = [replace(mute, engine=WHISPER, tokens=one) for one in tokens]
    sent = asked.files, asked.formats
    few = [count for count in asked.callers if count in http_overhead.MUTE_CALLERS]
    short = [seconds for seconds in asked.files if seconds <= http_overhead.WINDOW]
    some = [count for count in asked.callers if count == http_overhead.TOKEN_CALLERS]
    wanted = [(mute, http_overhead.cases(MUTE, *sent, few))]
    wanted += [(first, http_overhead.cases(asked.device, *sent, asked.callers))]
    wanted += [(one, http_overhead.cases(asked.device, short, sent[1][:1], some)) for one in others]
    yield from ((setup, cases) for setup, cases in wanted if cases)


def tell(line: str) -> None:
    """What is going on, apart from the results."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
