"""How many sessions a server holds in real time at once: alone, and while jobs run."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

import aiohttp

from benchmark.accuracy.scoring import quantile
from benchmark.realtime.client import Played, play
from benchmark.realtime.figures import Latency
from benchmark.realtime.speech import TAIL_SECONDS, Speech
from benchmark.tables import aligned

HELD_SECONDS = 2.0  # Sessions are held whose whole texts come within so many seconds, at the p95.
LATE_SECONDS = 0.25  # Where the client is later than this, at the p95, nothing is judged.
MOST_SESSIONS = 1024  # The ramp ends with so many sessions.


@dataclass(frozen=True)
class Rung:
    """Holds what so many sessions at once got."""

    sessions: int
    latency: Latency

    @property
    def lag(self) -> float:
        """Seconds from the end of speech to the whole text, at the p95."""
        return quantile(self.latency.whole, 0.95)

    @property
    def is_held(self) -> bool:
        return not self.latency.failures and self.lag <= HELD_SECONDS

    @property
    def is_judged(self) -> bool:
        """Whether the client itself kept the pace of time."""
        return quantile(self.latency.late, 0.95) <= LATE_SECONDS


def doubled(most: int = MOST_SESSIONS) -> Iterator[int]:
    """Yield 1, 2, 4 and so on."""
    return itertools.takewhile(lambda count: count <= most, (2**n for n in itertools.count()))


async def climb(
    client: aiohttp.ClientSession,
    speeches: Sequence[Speech],
    rungs: Iterator[int],
    seconds: float,
    language: str | None,
) -> AsyncIterator[Rung]:
    """Yield each number of sessions with its figures, up to the first that is not held."""
    for count in rungs:
        played = await _at_once(client, speeches, count, seconds, language)
        rung = Rung(count, Latency.of(played))
        yield rung
        if not rung.is_held or not rung.is_judged:
            return


async def _at_once(
    client: aiohttp.ClientSession,
    speeches: Sequence[Speech],
    count: int,
    seconds: float,
    language: str | None,
) -> list[Played]:
    """Play to so many sessions at once for about so many seconds; they begin apart."""

    async def one(number: int) -> list[Played]:
        await asyncio.sleep(number / count * min(seconds, speeches[0].seconds))
        return await play(client, enough(speeches, number, seconds), language)

    every = await asyncio.gather(*map(one, range(count)))
    return [played for each in every for played in each]


def enough(speeches: Sequence[Speech], first: int, seconds: float) -> Iterator[Speech]:
    """Yield recordings in turn, from one of them on, until they last for so many seconds."""
    length = 0.0
    for number in itertools.count(first):
        speech = speeches[number % len(speeches)]
        yield speech
        length += speech.seconds + TAIL_SECONDS
        if length >= seconds:
            return


def held(rungs: Sequence[Rung]) -> int:
    """Return the most sessions that were held at once."""
    return max((rung.sessions for rung in rungs if rung.is_held and rung.is_judged), default=0)


def table(name: str, rungs: Sequence[Rung]) -> str:
    """Return a row for each number of sessions, and how many were held."""
    rows = [(name, "completed p50, s", "p95, s", "first delta p95, s", "client late p95, s", "")]
    for rung in rungs:
        latency = rung.latency
        verdict = "held" if rung.is_held else "NOT HELD"
        if latency.failures:
            verdict += f", {len(latency.failures)} failed"
        rows.append(
            (
                str(rung.sessions),
                f"{quantile(latency.whole, 0.5):.2f}",
                f"{rung.lag:.2f}",
                f"{quantile(latency.first, 0.95):.2f}",
                f"{quantile(latency.late, 0.95):.2f}",
                verdict if rung.is_judged else "the client is too slow",
            )
        )
    failures = sorted({failure for rung in rungs for failure in rung.latency.failures})
    return "\n".join(
        [*aligned(rows), *failures, f"{name}: {held(rungs)} held in real time (p95 <= 2 s)"]
    )
