"""State what was measured beside its pass mark, and write it as a Markdown table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

NO_MARK = "-"  # A figure with this mark is only reported.


@dataclass(frozen=True)
class Verdict:
    """Pairs a measured figure with its mark; `passes` is None where there was no measurement."""

    name: str
    figure: str
    mark: str
    passes: bool | None

    @property
    def word(self) -> str:
        if self.mark == NO_MARK:
            return NO_MARK
        return {True: "pass", False: "FAIL", None: "not measured"}[self.passes]


def at_most(name: str, value: float, limit: float, unit: str = "") -> Verdict:
    return Verdict(name, _with(unit, value), f"≤ {_with(unit, limit)}", value <= limit)


def reported(name: str, figure: str) -> Verdict:
    """Return a figure that has no mark."""
    return Verdict(name, figure, NO_MARK, True)


def unmeasured(name: str, mark: str, reason: str) -> Verdict:
    return Verdict(name, reason, mark, None)


def table(rows: Iterable[Verdict], head: str = "what") -> str:
    """Return the verdicts as a Markdown table, a line each."""
    lines = [f"| {row.name} | {row.mark} | {row.figure} | {row.word} |" for row in rows]
    return "\n".join([f"| {head} | pass mark | figure | verdict |", "|---|---|---|---|", *lines])


def _with(unit: str, value: float) -> str:
    return f"{value:,.4g} {unit}".strip() if value < 1000 else f"{value:,.0f} {unit}".strip()
