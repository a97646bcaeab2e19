"""Run parts within a budget of seconds, and name those skipped or failed."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Budget:
    """Runs parts while time is left, and lists those skipped or failed."""

    ends: float  # on the monotonic clock
    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def left(self) -> float:
        """Return the seconds that are left."""
        return max(0.0, self.ends - time.monotonic())

    def attempt(self, name: str, seconds: float, work: Callable[[], object]) -> None:
        """Do `work` if its `seconds` are left; record a failure instead of raising it."""
        if seconds > self.left:
            self.skipped.append(
                f"{name}: about {seconds:.0f} s, of which {self.left:.0f} s are left"
            )
            print(f"skipped: {self.skipped[-1]}", flush=True)
            return
        began = time.monotonic()
        try:
            work()
        except Exception as error:  # the boundary: one part's failure must not cost the others
            traceback.print_exc()
            self.failed.append(f"{name}: {type(error).__name__}: {error}")
            print(f"failed: {self.failed[-1]}", flush=True)
        took = time.monotonic() - began
        print(f"{name}: took {took:.1f} s, {self.left:.0f} s are left", file=sys.stderr, flush=True)
