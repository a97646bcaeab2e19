"""Write the contenders' figures as tables, for people and for `RESULTS.md`."""

from __future__ import annotations

from collections.abc import Callable

from benchmark.engine_comparison.goals import OURS, best_of
from benchmark.engine_comparison.rounds import Figures, Results
from benchmark.tables import aligned


def table(results: Results) -> str:
    """Return a table of a level's contenders, the fastest first.

    The lines under it name those that were left out.
    """
    level, ours = results.level, best_of(results, OURS)
    tokens = "as the model ends them" if level.limits is None else f"{level.mean_tokens:.0f} tokens"
    lines = [
        f"### {level.name}: {level.count} windows, {level.seconds:.0f} s of audio, {tokens}",
        "",
    ]
    ranked = sorted(results.figures, key=lambda one: one.seconds)
    rows = [["contender", *(label for label, _ in COLUMNS), "ours is"]]
    for one in ranked:
        times = f"{one.seconds / ours.seconds:.2f} x" if ours is not None else "-"
        rows.append([one.contender, *(show(one) for _, show in COLUMNS), times])
    lines += aligned(rows)
    lines += [f"left out: {name}: {why}" for name, why in results.skipped.items()]
    lines += [
        f"not as asked: {one.contender} wrote {one.tokens:.1f} tokens a window"
        for one in ranked
        if not one.wrote_as_asked
    ]
    return "\n".join(lines)


def _memory(one: Figures) -> str:
    return f"{one.peak_mib:.0f}" if one.gpu_mib is None else f"{one.gpu_mib:.0f} GPU"


def _share(one: Figures) -> str:
    return "-" if one.roofline_share is None else f"{100 * one.roofline_share:.0f}"


COLUMNS: list[tuple[str, Callable[[Figures], str]]] = [
    ("s", lambda one: f"{one.seconds:.2f}"),
    ("rounds", lambda one: str(one.rounds)),
    ("spread %", lambda one: f"{100 * one.spread:.0f}"),
    ("x real time", lambda one: f"{one.realtime_multiple:.1f}"),
    ("windows/s", lambda one: f"{one.windows_per_second:.2f}"),
    ("first s", lambda one: f"{one.first:.2f}"),
    ("p50 s", lambda one: f"{one.p50:.2f}"),
    ("p95 s", lambda one: f"{one.p95:.2f}"),
    ("peak MiB", _memory),
    ("roofline %", _share),
]
