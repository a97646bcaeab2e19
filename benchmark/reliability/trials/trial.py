"""Define what a trial is: a number, a name, an estimate of its time, and what runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.reliability.verdict import Verdict


@dataclass(frozen=True)
class Trial:
    """Describes one of the tests; `run` measures it in an empty folder of its own."""

    number: int
    name: str  # selects it on the command line
    title: str
    minutes: float  # an estimate, on two cores with the demo model
    run: Callable[[Path], Sequence[Verdict]]
