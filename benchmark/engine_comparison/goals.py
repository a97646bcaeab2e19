"""State the goals of this engine, and judge by how much each is missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.engine_comparison.formats import Choice
from benchmark.engine_comparison.rounds import Figures, Results

# The names of the contenders in the goals begin with these.
OURS = "ours "
FASTER = "faster-whisper"
BATCHED = "faster-whisper batched "
GREEDY = "transformers greedy "
OPENVINO = "OpenVINO GenAI "
OURS_INT8 = "ours int8"
GOAL_TOKENS = 130  # The goals are for windows with so many tokens.
MEMORY = {"small": 1200.0, "base": 700.0}  # In int8, models of these sizes take so many MB at most.
MEGABYTES = 2**20 / 1e6  # MB in a MiB
# What DTYPE=auto chooses takes at most so many times as long as what it could have chosen.
CHOICE = 1.05


@dataclass(frozen=True)
class Goal:
    """Compares a measured number with its target; `at_most` where less is better."""

    text: str
    target: float
    measured: float | None
    unit: str = "x"
    at_most: bool = False

    def judged(self) -> str:
        if self.measured is None:
            return f"unmeasured  {self.text}"
        reached = f"{self.measured:.2f} {self.unit}"
        if self._is_met:
            return f"met         {self.text}: {reached}"
        gap = abs(self.measured - self.target)
        return f"missed      {self.text}: {reached}, by {gap:.2f} {self.unit}"

    @property
    def _is_met(self) -> bool:
        assert self.measured is not None
        return self.measured <= self.target if self.at_most else self.measured >= self.target


def cpu_goals(
    weights: str,
    levels: Mapping[str, Results],
    first_windows: float | None,
    choice: Choice | None = None,
) -> list[Goal]:
    """Return the goals of a CPU, stated for the small model.

    Args:
        first_windows: time to a 20-minute file's first segment, in times of one window alone.
        choice: what DTYPE=auto chooses on this machine.
    """
    file, clips = levels.get(f"file {GOAL_TOKENS}"), levels.get("clips 16")
    return [
        Goal("one file: 2.5 x faster-whisper batched int8", 2.5, ratio(file, BATCHED)),
        Goal("one file: 1.3 x OpenVINO GenAI int8", 1.3, ratio(file, OPENVINO)),
        Goal("one file: 5 x the plain greedy fp32 pipeline", 5.0, ratio(file, GREEDY)),
        Goal("16 clips of 5 s: 2.5 x faster-whisper, batched or not", 2.5, ratio(clips, FASTER)),
        Goal("16 clips of 5 s: 1.2 x OpenVINO GenAI int8", 1.2, ratio(clips, OPENVINO)),
        *_choice_goals(levels, choice),
        *_memory_goals(weights, levels),
        Goal(
            "first segment of a 20-minute file within 1.5 window times",
            1.5,
            first_windows,
            "window times",
            at_most=True,
        ),
    ]


def _choice_goals(levels: Mapping[str, Results], choice: Choice | None) -> list[Goal]:
    if choice is None:
        return []
    text = f"DTYPE=auto chose {choice.name}: within {CHOICE} x the fastest that it could choose"
    return [
        Goal(f"{name}: {text}", CHOICE, _behind(results, choice), at_most=True)
        for name, results in levels.items()
    ]


def _behind(results: Results, choice: Choice) -> float | None:
    """Return the time of the chosen dtype, in times of the fastest candidate."""
    measured = {name: results.of(f"{OURS}{name}") for name in choice.candidates}
    seconds = {name: one.seconds for name, one in measured.items() if one is not None}
    chosen = seconds.get(choice.name)
    return None if chosen is None or len(seconds) < 2 else chosen / min(seconds.values())


def _memory_goals(weights: str, levels: Mapping[str, Results]) -> list[Goal]:
    name = weights.rpartition(":")[2].rpartition("-")[2]
    if name not in MEMORY:
        return []
    found = [results.of(OURS_INT8) for results in levels.values()]
    peaks = [one.peak_mib * MEGABYTES for one in found if one is not None]
    text = f"{name} in int8 within {MEMORY[name]:.0f} MB"
    return [Goal(text, MEMORY[name], max(peaks, default=None), "MB", at_most=True)]


def gpu_goals(
    weights: str, levels: Mapping[str, Results], multiples: Mapping[str, float]
) -> list[Goal]:
    """Return the goals of one H200.

    Args:
        multiples: realtime multiples over HTTP: "many" of 30 s files, "long" of one file of 19:51.
    """
    best = best_of(levels.get(f"file {GOAL_TOKENS}"), OURS)
    many, one = best_of(levels.get("clips 32"), OURS), best_of(levels.get("clips 1"), OURS)
    pace = many.windows_per_second / one.windows_per_second if many and one else None
    goals = [
        Goal("one file: 8 x the greedy pipeline", 8.0, _greedy_ratio(levels)),
        Goal(
            "60 % of the roofline",
            60.0,
            None if best is None or best.roofline_share is None else 100 * best.roofline_share,
            "%",
        ),
        Goal("5 s clips, 32 at once: 6 x one at a time", 6.0, pace),
    ]
    if weights.endswith("large-v3"):
        goals.append(Goal("64 to 128 at once over HTTP: 1500 x", 1500.0, multiples.get("many")))
        goals.append(Goal("one file of 19 min 51 s over HTTP: 800 x", 800.0, multiples.get("long")))
    if weights.endswith("turbo"):
        goals.append(Goal("64 to 128 at once over HTTP: 1740 x", 1740.0, multiples.get("many")))
        goals.append(Goal("the same in the end: 4500 x", 4500.0, multiples.get("many")))
    return goals


def outside_goals(multiples: Mapping[str, float], cores: int) -> list[Goal]:
    """Return the goals for everything outside the model, measured with the mute engine."""
    budget = 0.2 * cores
    text = f"CPU outside the model, VAD=energy: {budget:.1f} ms for a second of WAV"
    health = "/hc p99 within 20 ms meanwhile"
    return [
        Goal(text, budget, multiples.get("cpu_ms"), "ms", at_most=True),
        Goal(health, 20.0, multiples.get("health_ms"), "ms", at_most=True),
    ]


def _greedy_ratio(levels: Mapping[str, Results]) -> float | None:
    """Return how many times as fast our best is as the greedy pipeline.

    It transcribes all of the file's windows, or only the first of them.
    """
    files = [level for name, level in levels.items() if name.startswith(f"file {GOAL_TOKENS}")]
    ratios = (ratio(level, GREEDY) for level in files)
    return next((times for times in ratios if times is not None), None)


def ratio(results: Results | None, contender: str) -> float | None:
    """Return how many times as fast our best is as the best of `contender`."""
    ours, theirs = best_of(results, OURS), best_of(results, contender)
    return theirs.seconds / ours.seconds if ours and theirs else None


def best_of(results: Results | None, beginning: str) -> Figures | None:
    candidates: Sequence[Figures] = results.figures if results is not None else ()
    named = [one for one in candidates if one.contender.startswith(beginning)]
    return min(named, key=lambda one: one.seconds, default=None)
