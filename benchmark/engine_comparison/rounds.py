"""Run the rounds of all contenders in turn, and sum them up."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from asr.pcm import SAMPLE_RATE
from benchmark.engine_comparison.contender import CannotRun, Load
from benchmark.engine_comparison.contender_process import ContenderProcess, Round

PATIENCE = 4.0  # A contender that takes so many times as long as the fastest has one round.
# A contender whose round is shorter than this, in seconds, has all its rounds.
PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class Level:
    """Describes one kind of work, the same for all contenders."""

    name: str
    load: Load
    windows: Path  # .npy, [windows, samples]
    limits: Sequence[int] | None  # tokens of each window
    count: int  # windows
    seconds: float  # of audio, all windows together

    @classmethod
    def of(
        cls,
        name: str,
        load: Load,
        windows: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
        limits: Sequence[int] | None,
        folder: Path,
    ) -> Level:
        path = folder / f"{name.replace(' ', '-').replace(',', '')}.npy"
        np.save(path, windows)
        return cls(name, load, path, limits, len(windows), windows.size / SAMPLE_RATE)

    @property
    def mean_tokens(self) -> float | None:
        return None if self.limits is None else statistics.fmean(self.limits)


@dataclass(frozen=True)
class Figures:
    """Sums up one contender at one level; times in seconds."""

    level: str
    contender: str
    rounds: int
    seconds: float  # the median round
    spread: float  # slowest less fastest round, of the median
    realtime_multiple: float  # audio seconds in a second
    windows_per_second: float
    first: float  # until the first window was done
    p50: float  # until a window was done, all of them submitted at once
    p95: float
    cpu_seconds: float
    peak_mib: float
    gpu_mib: float | None
    tokens: float  # written in a window, on average
    wrote_as_asked: bool  # every window has the number of tokens that was set
    roofline_share: float | None = None  # of what the machine could do at most


@dataclass
class Results:
    """Holds all figures of one level."""

    level: Level
    figures: list[Figures] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)  # contender → why

    def of(self, contender: str) -> Figures | None:
        return next((one for one in self.figures if one.contender == contender), None)


def compare(
    level: Level, contenders: Sequence[ContenderProcess], rounds: int, report: Callable[[str], None]
) -> Results:
    """Warm up every contender at this level once, then run their rounds in turn."""
    results = Results(level)
    taken: dict[str, list[Round]] = {}
    running = list(contenders)
    for number in range(rounds + 1):
        for contender in list(running):
            try:
                done = contender.transcribe(level.load, level.windows, level.limits)
            except CannotRun as error:
                running.remove(contender)
                taken.pop(contender.name, None)
                results.skipped[contender.name] = str(error)
                report(f"{level.name}: {contender.name} is left out: {error}")
                continue
            report(f"{level.name}: round {number}, {contender.name}: {done.seconds:.2f} s")
            taken.setdefault(contender.name, []).append(done)
        fastest = min((past[-1].seconds for past in taken.values()), default=0.0)
        running = [r for r in running if _deserves_more(taken[r.name][-1].seconds, fastest)]
    for name, past in taken.items():
        results.figures.append(figures(level, name, past[1:] or past))
    return results


def _deserves_more(seconds: float, fastest: float) -> bool:
    return seconds < max(PATIENCE_SECONDS, PATIENCE * fastest)


def figures(level: Level, contender: str, rounds: Sequence[Round]) -> Figures:
    times = [done.seconds for done in rounds]
    seconds = statistics.median(times)
    finished = [time for done in rounds for time in done.finished]
    tokens = [count for done in rounds for count in done.tokens]
    gpu = [done.gpu_mib for done in rounds if done.gpu_mib is not None]
    return Figures(
        level=level.name,
        contender=contender,
        rounds=len(rounds),
        seconds=seconds,
        spread=(max(times) - min(times)) / seconds,
        realtime_multiple=level.seconds / seconds,
        windows_per_second=level.count / seconds,
        first=statistics.median(min(done.finished) for done in rounds),
        p50=float(np.percentile(finished, 50)),
        p95=float(np.percentile(finished, 95)),
        cpu_seconds=statistics.median(done.cpu_seconds for done in rounds),
        peak_mib=max(done.peak_mib for done in rounds),
        gpu_mib=max(gpu, default=None),
        tokens=statistics.fmean(tokens),
        wrote_as_asked=all(_as_asked(level, done.tokens) for done in rounds),
    )


def _as_asked(level: Level, tokens: Sequence[int]) -> bool:
    """Check that every window has the number of tokens that was set.

    Windows may be reported in any order, and a contender with strides has more of them.
    """
    if level.limits is None:
        return True
    if len(set(level.limits)) == 1:
        return set(tokens) == {level.limits[0]}
    return sorted(tokens) == sorted(level.limits)
