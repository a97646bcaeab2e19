"""Bounds the memory that all requests hold together: bodies, decoded audio and decoders."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from types import TracebackType

from asr.errors import RETRY_SECONDS, QueueFull, TooLarge, spread
from asr.resources import container_memory

log = logging.getLogger(__name__)

MIB = 2**20
MARGIN_SHARE = 0.1  # This share of the container's or machine's memory stays free.
MARGIN_BYTES = 64 * MIB  # At least so many bytes stay free.
LEAST_BYTES = 48 * MIB  # Requests get so many bytes even where fewer seem to be left.
QUEUE_SHARE = 0.5  # Decoded audio gets this share of the budget.
DECODER_SHARE = 0.2  # ffmpeg's processes get this share; what remains is for bodies.
# A second of audio between decoder and answer takes so many bytes, with all that holds it: 64,000
# of PCM; 71,900 and 78,700 were measured with 1,800 s of WAV and 1,660 s of MP3 in the queue.
SECOND_BYTES = 90_000
DECODER_BYTES = 20 * MIB  # One ffmpeg takes so many bytes: 14 MiB (PSS) and 5 MiB of its pipes.


@dataclass(frozen=True)
class MemoryBudget:
    """How many bytes requests may hold together, and how they are shared out."""

    total: int

    @classmethod
    def of(cls, max_memory_mb: float | None) -> MemoryBudget:
        """The budget that is set, or else what is left now that the model is loaded."""
        left = _left()
        if max_memory_mb is None:
            if left < LEAST_BYTES:
                log.warning(
                    "only %d MiB of memory are left for requests: give the container more",
                    left // MIB,
                )
            return cls(max(LEAST_BYTES, left))
        if max_memory_mb * MIB > left:
            log.warning("MAX_MEMORY_MB=%g is more than the %d MiB left", max_memory_mb, left // MIB)
        return cls(int(max_memory_mb * MIB))

    def __str__(self) -> str:
        return (
            f"{self.total / MIB:.0f} MiB: {self.queue_seconds:.0f} s of decoded audio, "
            f"{self.decoders} decoders, {self.bodies / MIB:.0f} MiB of bodies"
        )

    @property
    def queue_seconds(self) -> float:
        """Seconds of decoded audio that may wait."""
        return self.total * QUEUE_SHARE / SECOND_BYTES

    @property
    def decoders(self) -> int:
        """Processes that may decode at once; at least one."""
        return max(1, int(self.total * DECODER_SHARE) // DECODER_BYTES)

    @property
    def bodies(self) -> int:
        """Bytes of bodies, and of what reads them."""
        return int(self.total * (1 - QUEUE_SHARE - DECODER_SHARE))


def _left() -> int:
    """Return the bytes that requests can have, a margin kept free."""
    limit = container_memory.limit()
    left = min(container_memory.available(), limit - container_memory.resident())
    return left - max(MARGIN_BYTES, int(limit * MARGIN_SHARE))


class BodyMemory:
    """Counts the bytes that the bodies of all requests hold, and live sessions."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self.lasting = 0  # of those, the bytes of live sessions
        self.reservations = 0  # since the start

    def reserve(self, size: int, is_lasting: bool = False) -> Reservation:
        """Reserve `size` bytes for a request, until the reservation is left.

        Args:
            is_lasting: it is held for as long as a live session goes on.

        Raises:
            QueueFull: other requests hold too much.
            TooLarge: not even one such request has room.
        """
        reservation = Reservation(self, is_lasting)
        reservation.grow(size)
        self.reservations += 1
        return reservation


class Reservation:
    """One request's part of the memory for bodies."""

    def __init__(self, memory: BodyMemory, is_lasting: bool = False) -> None:
        self._memory = memory
        self._is_lasting = is_lasting
        self._size = 0

    def __enter__(self) -> Reservation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._count(-self._size)

    def has_changed(self, size: int) -> bool:
        """Let the request hold `size` bytes in all, more or fewer, if there is room for more."""
        if size >= self._size:
            return self.has_grown(size)
        self._count(size - self._size)
        return True

    def has_grown(self, size: int) -> bool:
        """Let the request hold `size` bytes in all, if there is room; return whether there is."""
        more = max(0, size - self._size)
        if self._memory.held + more > self._memory.limit:
            return False
        self._count(more)
        return True

    def grow(self, size: int) -> None:
        """Let the request hold `size` bytes in all.

        Raises:
            QueueFull: other requests hold too much.
            TooLarge: not even one such request has room.
        """
        if self.has_grown(size):
            return
        if size > self._memory.limit:
            raise TooLarge(
                f"this body takes {size / MIB:.0f} MiB of memory or more, the server has "
                f"{self._memory.limit / MIB:.0f}: send the audio's bytes as the body, or set "
                "MAX_MEMORY_MB higher"
            )
        wait = spread(RETRY_SECONDS)
        raise QueueFull(
            f"requests hold {self._memory.held / MIB:.0f} MiB of memory, the limit for their "
            f"bodies is {self._memory.limit / MIB:.0f} (see MAX_MEMORY_MB): try again in "
            f"{math.ceil(wait)} s",
            retry_after=wait,
        )

    def _count(self, more: int) -> None:
        self._size += more
        self._memory.held += more
        if self._is_lasting:
            self._memory.lasting += more
