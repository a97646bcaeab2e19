"""Compare the texts of many callers at once with those of a caller who is alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from benchmark.soak.callers import alone, open_session
from benchmark.soak.cards import Card

REFUSALS = 100  # A request that is refused so many times has failed.
LONGEST_WAIT_S = 5.0  # Of a Retry-After so many seconds are waited.


@dataclass(frozen=True)
class Truth:
    """Counts the requests of all clients, and names those that came out wrong."""

    requests: int
    failures: list[str]
    unlike: list[str]  # texts that differ from the solo run


async def compare(
    url: str, cards: Sequence[Card], clients: int, requests: int, seed: int = 0
) -> Truth:
    """Let each of `clients` send `requests` cards at once, and compare all texts.

    Raises:
        UnexpectedAnswer: a card fails although nobody else calls.
    """
    solo = await alone(url, cards)
    draw = random.Random(seed)
    failures: list[str] = []
    unlike: list[str] = []

    async def client(turns: Sequence[Card]) -> None:
        async with open_session() as session:
            for card in turns:
                text = await _text(session, url, card, failures)
                if text is not None and text != solo[card.name]:
                    unlike.append(f"{card.name}: {text[:80]!r}, alone {solo[card.name][:80]!r}")

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client(draw.choices(cards, k=requests)))
    return Truth(clients * requests, failures, unlike)


async def _text(
    session: aiohttp.ClientSession, url: str, card: Card, failures: list[str]
) -> str | None:
    """Send a card, again while it is refused; note why there is no text."""
    for _ in range(REFUSALS):
        try:
            reply = await card.send(session, url)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, LookupError) as error:
            failures.append(f"{card.name}: {error!r}")
            return None
        if reply.status in card.statuses:
            return reply.text
        if reply.status != 429:
            break
        await asyncio.sleep(min(reply.retry_after, LONGEST_WAIT_S))
    failures.append(f"{card.name}: {reply.status} {reply.error}")
    return None
