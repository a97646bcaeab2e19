"""What is wrong with one recording: what its decoders said, and what they did not decode."""

from __future__ import annotations

from dataclasses import dataclass

SHORTEST_SECONDS = 1.0  # Less is not missed: encoders add silence, and headers are rounded.
SHORTEST_SHARE = 0.01  # Less of the declared duration is not missed: headers may be estimates.


@dataclass
class Damage:
    """Collects what the decoders of one recording tell of it."""

    declared: float | None = None  # seconds, by the file's own header
    decoded: float = 0.0  # seconds
    reason: str | None = None  # what a decoder said first

    def note(self, reason: str) -> None:
        """Keep what a decoder says is wrong with the bytes."""
        self.reason = self.reason or reason

    @property
    def missing(self) -> float:
        """Seconds that the header declares and that no decoder gave out; 0 if that is unknown."""
        declared = self.declared or 0.0
        missing = declared - self.decoded
        return missing if missing > max(SHORTEST_SECONDS, SHORTEST_SHARE * declared) else 0.0

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a caller should know, in at most one sentence."""
        why = "" if self.reason is None else f" ({self.reason})"
        if self.missing:
            return (
                f"the audio is damaged or cut off{why}: {self.decoded:.1f} s of "
                f"{self.declared:.1f} s could be decoded",
            )
        return (f"the audio is damaged{why}: parts of it may be missing",) if why else ()
