"""Keep callers at work on a deck of requests, and sort what comes back."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp

from benchmark.soak.cards import Card, Reply
from benchmark.soak.clips import Clip
from benchmark.soak.crashes import CRASHES, Crash, crash

REQUEST_S = 300.0  # A request that is not answered within so many seconds has failed.
AWAY_S = 0.2  # A caller that the server turned away waits so many seconds.
LONGEST_WAIT_S = 5.0  # A refused caller waits at most so many seconds of its Retry-After.
# A request that was sent so many seconds before SIGTERM is in flight and must be answered.
IN_FLIGHT_S = 0.5


@dataclass
class Outage:
    """Spans the time from a signal until the server was ready again."""

    is_graceful: bool  # SIGTERM, so that requests in flight must be answered
    began: float  # by the monotonic clock
    ended: float = math.inf

    def overlaps(self, sent: float, done: float) -> bool:
        return sent <= self.ended and done >= self.began

    def must_answer(self, sent: float, done: float) -> bool:
        """Whether a request was in flight when the server was asked to end."""
        return self.is_graceful and sent < self.began - IN_FLIGHT_S and done >= self.began


@dataclass
class Outcomes:
    """Sorts and counts what all callers met."""

    outages: list[Outage] = field(default_factory=list)
    good: list[tuple[float, float]] = field(default_factory=list)  # (sent, latency) in seconds
    unexpected: Counter[str] = field(default_factory=Counter)
    unlike: Counter[str] = field(default_factory=Counter)  # texts that differ from the solo run
    lost: Counter[str] = field(default_factory=Counter)  # in flight at SIGTERM, not answered
    saved: int = 0  # in flight at SIGTERM, answered well
    refused: int = 0  # 429
    turned_away: int = 0  # while the server stopped or started
    crashed: int = 0

    def note(self, card: Card, sent: float, reply: Reply, solo: str | None) -> None:
        done = time.monotonic()
        if reply.status not in card.statuses:
            if reply.status == 429:
                self.refused += 1
            else:
                self.note_failure(card, sent, f"{reply.status} {reply.error}".strip())
            return
        self.good.append((sent, done - sent))
        self.saved += any(outage.must_answer(sent, done) for outage in self.outages)
        if solo is not None and reply.text != solo:
            self.unlike[f"{card.name}: {reply.text[:100]!r}, alone {solo[:100]!r}"] += 1

    def note_failure(self, card: Card, sent: float, why: str) -> None:
        done = time.monotonic()
        near = [outage for outage in self.outages if outage.overlaps(sent, done)]
        if not near:
            self.unexpected[f"{card.name}: {why}"] += 1
        elif any(outage.must_answer(sent, done) for outage in near):
            self.lost[f"{card.name}: {why}"] += 1
        else:
            self.turned_away += 1


@dataclass
class Round:
    """Says when callers pause: at a time by the monotonic clock, or after so many turns."""

    ends: float = math.inf
    turns: int | None = None
    taken: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.ends or self.share >= 1

    @property
    def share(self) -> float:
        """Return which share of the turns is taken; 0 where they are not counted."""
        return min(1.0, self.taken / self.turns) if self.turns else 0.0


@dataclass(frozen=True)
class Callers:
    """Holds the callers' work: requests to answer, and clients that crash among them."""

    url: str
    port: int
    cards: Sequence[Card]
    clips: Sequence[Clip]
    solo: Mapping[str, str]  # the text of each card when nobody else called
    count: int  # callers at once
    outcomes: Outcomes

    async def work(self, round_: Round) -> None:
        """Keep all callers at work until the round is over."""
        supply = self._supply()
        async with asyncio.TaskGroup() as group:
            for _ in range(self.count):
                group.create_task(self._call(supply, round_))

    def _supply(self) -> Iterator[Card | tuple[Crash, Clip]]:
        """Yield the cards in a random order, all equally often; one client in five crashes.

        All callers share this iterator.
        """
        draw = random.Random(time.monotonic())
        while True:
            turns: list[Card | tuple[Crash, Clip]] = list(self.cards)
            turns += [
                (CRASHES[n % len(CRASHES)], draw.choice(self.clips))
                for n in range(max(len(CRASHES), len(turns) // 4))
            ]
            draw.shuffle(turns)
            yield from turns

    async def _call(self, supply: Iterator[Card | tuple[Crash, Clip]], round_: Round) -> None:
        async with open_session() as session:
            for turn in supply:
                round_.taken += 1
                if isinstance(turn, Card):
                    await self._ask(session, turn)
                else:
                    await self._crash(*turn)
                if round_.is_over:
                    return

    async def _ask(self, session: aiohttp.ClientSession, card: Card) -> None:
        sent = time.monotonic()
        try:
            reply = await card.send(session, self.url)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.outcomes.note_failure(card, sent, type(error).__name__)
            await asyncio.sleep(AWAY_S)
        except (ValueError, KeyError, IndexError) as error:
            self.outcomes.note_failure(card, sent, f"cannot be read: {error!r}")
        else:
            self.outcomes.note(card, sent, reply, self.solo.get(card.name))
            if reply.status in {429, 503}:
                await asyncio.sleep(min(reply.retry_after, LONGEST_WAIT_S))

    async def _crash(self, how: Crash, clip: Clip) -> None:
        try:
            await crash(how, self.port, clip)
        except OSError:  # the server is down
            await asyncio.sleep(AWAY_S)
        else:
            self.outcomes.crashed += 1


def open_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=REQUEST_S)
    )


async def alone(url: str, cards: Sequence[Card]) -> dict[str, str]:
    """Send every card once, one after the other, and return the text of each.

    Raises:
        UnexpectedAnswer: a card is answered with another status than it should be.
    """
    texts = {}
    async with open_session() as session:
        for card in cards:
            reply = await card.send(session, url)
            if reply.status not in card.statuses:
                raise UnexpectedAnswer(f"{card.name}: {reply.status} {reply.error}")
            texts[card.name] = reply.text
    return texts


class UnexpectedAnswer(Exception):
    """A request was answered with a status that is not right for it."""
