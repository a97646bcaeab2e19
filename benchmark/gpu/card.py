"""Measures which of its goals one GPU reaches, within a budget of seconds.

The parts that matter most for the goals run first. If the program is stopped, what was measured
until then is printed and in the JSON file.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from asr.startup import process_age
from benchmark import recordings
from benchmark.engine_comparison import comparison, goals, machine, plan
from benchmark.engine_comparison.checkpoints import in_memory
from benchmark.engine_comparison.comparison import Comparison, tell
from benchmark.engine_comparison.contender import ENTRIES, CannotRun, Load
from benchmark.engine_comparison.contender_process import ContenderProcess
from benchmark.engine_comparison.goals import GOAL_TOKENS
from benchmark.engine_comparison.plan import CLIP_SECONDS, CLIP_TOKENS
from benchmark.engine_comparison.rounds import Level, compare
from benchmark.gpu.budget import Budget
from benchmark.load import http_overhead
from benchmark.load.http_overhead import LONG, WINDOW, Case, HttpFigures
from benchmark.load.server_engines import MUTE
from benchmark.load.server_process import WHISPER, Server, Setup, running_server
from benchmark.paths import CACHE

WEIGHTS = "random:large-v3,random:large-v3-turbo"  # These models are measured, one after the other.
BUDGET_S = 540.0  # All parts together, the program's start included, may take so many seconds.
OLDEST_S = 60.0  # The program's start counts for at most so many seconds.
GREEDY, OURS = "transformers greedy", plan.OURS
WEIGHTS_S = 15  # Making a model's weights takes about so many seconds on one H200.
SERVER_S = 75  # A server takes about so many seconds to start, settle and run its first level.
SETTLE_S = 40.0  # A server prepares in idle moments for at most so many seconds.
ENGINE_S = 90  # An engine takes about so many seconds to start, capture graphs and run one level.
PIPELINE_S = 60  # The greedy pipeline takes about so many seconds.
LEVEL_S = 15  # A further level takes about so many seconds.
MUTE_S = 25  # A server with the mute engine takes about so many seconds.
CAUTION = 1.5  # A level is expected to take so many times as long as the first one's pace says.
LOG_CHARS = 2000  # Of a failed contender's log the last so many characters are printed.

Sounds = npt.NDArray[np.float32]  # [windows, samples]


@dataclass(frozen=True)
class Sizes:
    """Says how many callers, windows and seconds are measured."""

    callers: Sequence[int]  # at once over HTTP, the most important first
    windows: int  # that our engine transcribes
    few: int  # of them, those that the pipeline transcribes too
    long: int  # seconds of the one long file


@dataclass
class Card:
    """Collects all figures of one GPU while the program runs."""

    sizes: Sizes
    budget: Budget
    output: Path | None
    models: list[Comparison] = field(default_factory=list)
    mute: list[HttpFigures] = field(default_factory=list)

    def judged(self) -> list[str]:
        """Return a line for each goal: met, missed and by how much, or unmeasured."""
        lines = []
        for model in self.models:
            model_goals = goals.gpu_goals(
                model.plan.weights, model.levels, http_overhead.multiples(model.served)
            )
            lines += [f"{model.plan.weights}: {goal.judged()}" for goal in model_goals]
        outside = http_overhead.multiples(self.mute)
        threads = self.models[0].plan.threads if self.models else 1
        return lines + [goal.judged() for goal in goals.outside_goals(outside, threads)]

    def write(self) -> None:
        if self.output is None:
            return
        document: dict[str, Any] = {
            "skipped": self.budget.skipped,
            "failed": self.budget.failed,
            "goals": self.judged(),
            "models": [model.plain() for model in self.models],
            "mute": [asdict(one) for one in self.mute],
        }
        machine.write(self.output, document)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return exit code 0 unless a part failed."""
    options = _parser().parse_args(arguments)
    budget = Budget(time.monotonic() + options.budget - min(process_age(), OLDEST_S))
    callers = [int(count) for count in options.callers.split(",")]
    card = Card(Sizes(callers, options.windows, options.few, options.long), budget, options.json)
    with in_memory(otherwise=CACHE) as folder:
        for weights in options.weights.split(","):
            begin = partial(prepare, card, weights, options.device, folder)
            budget.attempt(f"{weights}: weights", WEIGHTS_S, begin)
        measure(card)
    card.write()
    print("\n".join(card.judged()))
    return int(bool(budget.failed))


def prepare(card: Card, weights: str, device: str | None, folder: Path) -> None:
    """Make a model's weights, and measure the card's peaks for the first model."""
    chosen = plan.read(["--weights", weights, *(["--device", device] if device else [])])
    assert chosen is not None
    chosen = replace(chosen, dtypes=["float16" if chosen.device == "cuda" else "bfloat16"])
    for place in (folder, CACHE):
        place.mkdir(parents=True, exist_ok=True)
    model = Comparison(chosen, plan.checkpoint(chosen, folder), machine.described(chosen))
    if card.models:
        model.peaks = card.models[0].peaks
    else:
        print("\n".join(f"{name}: {value}" for name, value in model.machine.items()), flush=True)
        comparison.measure_peaks(model)
    card.models.append(model)
    if chosen.device == "cuda":
        torch.cuda.empty_cache()  # engines plan with what is free


def measure(card: Card) -> None:
    """Run each part; those that decide most goals come first."""
    attempt = card.budget.attempt
    for model in card.models:
        attempt(f"{model.plan.weights} over HTTP", SERVER_S, partial(over_http, card, model))
    for model in card.models:
        attempt(f"{model.plan.weights} without a server", ENGINE_S, partial(alone, card, model))
    attempt("what is outside the model", MUTE_S, partial(outside, card))


def over_http(card: Card, model: Comparison) -> None:
    """Measure one model over HTTP: all cases, then the first words of a stream."""
    setup = _setup(model, WHISPER)
    attempt = card.budget.attempt
    with running_server(setup, card.budget.left) as server:
        server.settle(min(SETTLE_S, card.budget.left))
        cases = http_cases(card.sizes)
        once = replace(cases[0], requests=cases[0].callers)
        warm = _answered(card, server, setup, once)
        tell(f"to warm up: {http_overhead.in_one_line(warm)}")
        for case in cases:
            seconds = 3 + CAUTION * case.windows / max(warm.windows_per_second, 1)
            name = f"{model.plan.weights}: {case}"
            attempt(name, seconds, partial(_keep, card, model.served, server, setup, case))
        attempt("first words", LEVEL_S, partial(_first_words, model, server))
    print(
        f"\n### {model.plan.weights} over HTTP\n\n{http_overhead.table(model.served)}\n", flush=True
    )


def http_cases(sizes: Sizes) -> list[Case]:
    most, *fewer = sizes.callers
    clip = int(CLIP_SECONDS)
    return [
        Case("wav", WINDOW, most, 4 * most),
        Case("wav", sizes.long, 1, 3),
        *(Case("wav", WINDOW, count, 4 * count) for count in fewer),
        Case("mp3", WINDOW, most, 4 * most),
        Case("wav", clip, 32, 4 * 32),
        Case("wav", clip, 1, 20),
        Case("mp3", sizes.long, 1, 3),
    ]


def alone(card: Card, model: Comparison) -> None:
    """Measure the engine without a server: roofline share, clips, and the greedy pipeline."""
    sizes, name = card.sizes, model.plan.weights
    windows = recordings.windows(recordings.made_up(WINDOW * sizes.windows))
    clips = recordings.clips(windows.ravel(), 32, CLIP_SECONDS)
    with tempfile.TemporaryDirectory() as place, running(card, model, OURS) as ours:
        folder = Path(place)

        def transcribe(title: str, load: Load, sounds: Sounds, tokens: str, rounds: int) -> None:
            level = Level.of(title, load, sounds, plan.limits(tokens, len(sounds)), folder)
            work = partial(_compared, card, model, level, [ours], rounds)
            card.budget.attempt(f"{name}: {title}", LEVEL_S, work)

        transcribe(f"file {GOAL_TOKENS}", "file", windows, str(GOAL_TOKENS), 2)
        transcribe("clips 1", "clips", clips[:1], str(CLIP_TOKENS), 9)
        transcribe("clips 32", "clips", clips, str(CLIP_TOKENS), 5)
        title = f"file {GOAL_TOKENS}, {sizes.few} windows"
        limits = plan.limits(str(GOAL_TOKENS), sizes.few)
        few = Level.of(title, "file", windows[: sizes.few], limits, folder)
        against = partial(_beside_the_pipeline, card, model, few, ours)
        card.budget.attempt(f"{name}: the greedy pipeline", PIPELINE_S, against)
        for tokens in ("drawn", "17", "224"):
            transcribe(f"file {tokens}", "file", windows, tokens, 1)


def outside(card: Card) -> None:
    """Measure the server and this program with an engine that takes no time."""
    most, long = card.sizes.callers[0], card.sizes.long
    setup = _setup(card.models[0], MUTE)
    with running_server(setup, card.budget.left) as server:
        for case in (
            Case("wav", WINDOW, most, 4 * most),
            Case("mp3", WINDOW, most, 4 * most),
            Case("wav", long, 16, 16),
        ):
            work = partial(_keep, card, card.mute, server, setup, case)
            card.budget.attempt(f"mute: {case}", LEVEL_S, work)
    print(f"\n### Outside the model\n\n{http_overhead.table(card.mute)}\n", flush=True)


@contextlib.contextmanager
def running(card: Card, model: Comparison, name: str) -> Iterator[ContenderProcess]:
    """Start a contender, and end it when the budget ends."""
    [entry] = [entry for entry in ENTRIES if entry.name == name]
    dtype = model.plan.dtypes_of(entry)[0]
    log = comparison.log_of(entry, dtype)
    try:
        contender = comparison.start(entry, dtype, model)
    except CannotRun:
        tell(_end_of(log))
        raise
    model.versions[contender.name] = contender.versions
    timer = threading.Timer(card.budget.left, contender.process.kill)
    timer.start()
    try:
        yield contender
    finally:
        timer.cancel()
        contender.stop()


def _beside_the_pipeline(
    card: Card, model: Comparison, level: Level, ours: ContenderProcess
) -> None:
    with running(card, model, GREEDY) as greedy:
        _compared(card, model, level, [ours, greedy], 1)


def _compared(
    card: Card, model: Comparison, level: Level, started: Sequence[ContenderProcess], rounds: int
) -> None:
    results = compare(level, started, rounds, tell)
    comparison.take_in(results, model)
    card.write()
    for name in results.skipped:
        tell(_end_of(CACHE / f"{name}.log".replace(" ", "-")))


def _keep(card: Card, figures: list[HttpFigures], server: Server, setup: Setup, case: Case) -> None:
    figures.append(_answered(card, server, setup, case))
    print(http_overhead.in_one_line(figures[-1]), flush=True)
    card.write()


def _answered(card: Card, server: Server, setup: Setup, case: Case) -> HttpFigures:
    return http_overhead.measured(server, setup, case, card.budget.left)


def _first_words(model: Comparison, server: Server) -> None:
    model.streamed = http_overhead.first(server)
    print(model.streamed, flush=True)


def _setup(model: Comparison, engine: str) -> Setup:
    chosen = model.plan
    return Setup(engine, model.checkpoint, chosen.device, chosen.dtypes[0], str(GOAL_TOKENS))


def _end_of(log: Path) -> str:
    return log.read_text()[-LOG_CHARS:] if log.exists() else f"there is no {log}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmark.gpu",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--weights", default=WEIGHTS, help="the models, one after the other")
    add("--budget", type=float, default=BUDGET_S, help="seconds for everything, start included")
    add("--json", type=Path, help="write everything to this file, after each level")
    add("--device", choices=("cpu", "cuda"), help="unset: a GPU if there is one")
    add("--callers", default="128,64", help="callers at once over HTTP")
    add("--windows", type=int, default=256, help="windows that our engine transcribes in one round")
    add("--few", type=int, default=32, help="windows that the pipeline transcribes too")
    add("--long", type=int, default=LONG, help="seconds of the one long file")
    return parser
