"""How long the diarizer rests beside the engine's work for others."""

from __future__ import annotations

# Beside work for others the diarizer computes for this share of the time, on one core. The engine
# loses as much, however many cores there are: each of its threads waits for the one on that core.
SHARE = 0.06
SLICE_SECONDS = 0.1  # While the diarizer rests, it looks so often whether there are others.
# Others count until they have been away for so many seconds: one clip may follow the other.
LINGER_SECONDS = 0.25


def rest(computed: float, elapsed: float) -> float:
    """Seconds to rest after a piece, so that the diarizer keeps to its share of the time.

    Args:
        computed: seconds of processor time that the piece took.
        elapsed: seconds that passed meanwhile.
    """
    return max(0.0, computed / SHARE - elapsed)
