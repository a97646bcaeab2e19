"""A measured number and its target."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured number."""

    name: str
    value: float
    unit: str
    sample: str  # on how much it was measured
    limit: float | None = None  # the target; None when the figure is only reported
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """Whether the target, if there is one, is met."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit
