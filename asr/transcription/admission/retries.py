"""When a refused caller should come back: each at a time of its own, as fast as work is done."""

from __future__ import annotations

import math
import random
import time

from asr.errors import QueueFull

HALF_LIFE = 20.0  # The pace forgets half of its past in so many seconds of the engine's work.
UNKNOWN_SECONDS = 4.0  # Before anything is measured, callers come back within so many seconds.
SHORTEST_SECONDS = 0.5  # Nobody is asked to come back sooner.
LONGEST_SECONDS = 60.0  # Nobody is asked to wait longer: OpenAI's clients would ignore it.
JITTER = 0.25  # A wait is longer by up to this share of it.
TYPICAL_SECONDS = 10.0  # Before any request has ended, one is taken to have so much audio.
SIZE_WEIGHT = 0.1  # The newest request has this weight in the usual size of one.


class RetryTimes:
    """Tells refused callers when to come back.

    Room comes back at the engine's pace, so the times that are given out follow each other at
    that pace, too: of many who are refused at once, each comes when there is room for it.
    """

    def __init__(self) -> None:
        self._transcribed = 0.0  # seconds of audio, the past forgotten bit by bit
        self._worked = 0.0  # seconds of the engine's work for it
        self._size = TYPICAL_SECONDS  # seconds of audio that a request holds, as a rule
        self._next = 0.0  # when there is room for the next caller, by the monotonic clock

    @property
    def pace(self) -> float | None:
        """Seconds of audio per second of the engine's work; None before the first result."""
        return self._transcribed / self._worked if self._transcribed and self._worked else None

    def note_work(self, transcribed: float, seconds: float) -> None:
        """Count `seconds` of the engine's work, and the seconds of audio that were finished."""
        kept = 0.5 ** (seconds / HALF_LIFE)
        self._transcribed = kept * self._transcribed + transcribed
        self._worked = kept * self._worked + seconds

    def note_request(self, seconds: float) -> None:
        """Count the seconds of audio that a request held at most."""
        self._size += SIZE_WEIGHT * (seconds - self._size)

    def refusal(self, queued: float, limit: float, is_long: bool) -> QueueFull:
        """The error for a request that there is no room for, with a time to come again.

        Args:
            queued: seconds of audio that wait.
            limit: seconds of audio that may wait.
            is_long: whether it waits for room among long ones, which may last for hours.
        """
        wait = far_off() if is_long else self.wait(queued, limit)
        kind = ", of which long recordings may fill a part" if is_long else ""
        return QueueFull(
            f"{queued:.0f} s of audio are waiting, the limit is MAX_QUEUE_SECONDS={limit:g}{kind}: "
            f"try again in {math.ceil(wait)} s",
            retry_after=wait,
        )

    def wait(self, queued: float, limit: float) -> float:
        """Seconds until the next refused caller should come back.

        It is at most so long as twice `limit` needs: callers who never come back do not add up.

        Args:
            queued: seconds of audio that wait.
            limit: seconds of audio that may wait.
        """
        pace, now = self.pace, time.monotonic()
        if pace is None:
            return random.uniform(SHORTEST_SECONDS, UNKNOWN_SECONDS)
        soonest = now + max(0.0, queued + self._size - limit) / pace
        at = max(soonest, min(self._next, soonest + limit / pace))
        self._next = at + self._size / pace
        wait = max(SHORTEST_SECONDS, at - now) * random.uniform(1.0, 1.0 + JITTER)
        return wait if wait <= LONGEST_SECONDS else far_off()


def far_off() -> float:
    """Seconds to wait where nobody knows when there will be room."""
    return random.uniform(LONGEST_SECONDS / 2, LONGEST_SECONDS)
