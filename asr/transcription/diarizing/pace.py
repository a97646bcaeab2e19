"""How much of the processors the diarizer may have beside the engine's work for others."""

from __future__ import annotations

from dataclasses import dataclass

# Beside work for others the diarizer takes this share of all cores. On two cores the engine loses
# up to twice as much, because each of its threads waits for the one whose core is shared.
SHARE = 0.05
SLICE_SECONDS = 0.1  # A rest ends within so many seconds after the work for others has ended.


@dataclass(frozen=True)
class CoreShare:
    """Says how long the diarizer's thread rests after a piece of work.

    Args:
        cores: that the process may use.
    """

    cores: int

    def rest(self, computed: float, elapsed: float) -> float:
        """Seconds to rest after a piece, so that the thread keeps to its share of the cores.

        Args:
            computed: seconds of processor time that the piece took.
            elapsed: seconds that passed meanwhile.
        """
        return max(0.0, computed / (SHARE * self.cores) - elapsed)
