"""Ask a server to end while requests are in flight and a connection is kept open."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp

from benchmark.reliability.observed import Observed, until
from benchmark.soak.callers import alone, open_session
from benchmark.soak.cards import Card, Reply

QUEUED = "asr_queue_audio_seconds"
ARRIVAL_S = 0.5  # After the first request so many seconds are waited for the others to arrive.
NEWCOMER_S = 0.5  # A new request comes so many seconds after SIGTERM.


@dataclass
class Ending:
    """Holds how a server ended."""

    in_flight: int = 0  # requests that were not answered when SIGTERM was sent
    right: int = 0  # requests in flight that were answered with their solo text
    wrong: list[str] = field(default_factory=list)
    newcomer: str = ""  # how a new request was turned away
    newcomer_s: float = 0.0
    code: int = 0  # exit code
    exit_s: float = 0.0


async def end_in_flight(observed: Observed, cards: Sequence[Card]) -> Ending:
    """Send all `cards`, then SIGTERM; a new request comes soon after."""
    server, ending = observed.server, Ending()
    solo = await alone(server.url, cards)
    async with open_session() as session:
        async with session.get(f"{server.url}/hc") as health:  # its connection stays open
            await health.read()
        asked = [asyncio.create_task(card.send(session, server.url)) for card in cards]
        await asyncio.to_thread(until, lambda: observed.metric(QUEUED) > 0)
        await asyncio.sleep(ARRIVAL_S)
        ending.in_flight = sum(not task.done() for task in asked)
        exits = asyncio.create_task(asyncio.to_thread(server.end, signal.SIGTERM))
        await asyncio.sleep(NEWCOMER_S)
        await _newcomer(server.url, cards[0], ending)
        for card, answer in zip(cards, await _gathered(asked), strict=True):
            if isinstance(answer, Reply) and answer.text == solo[card.name]:
                ending.right += 1
            else:
                ending.wrong.append(f"{card.name}: {answer!r}")
        ending.code, ending.exit_s = await exits
    return ending


async def _gathered(asked: Sequence[asyncio.Task[Reply]]) -> list[Reply | BaseException]:
    return await asyncio.gather(*asked, return_exceptions=True)


async def _newcomer(url: str, card: Card, ending: Ending) -> None:
    began = time.monotonic()
    try:
        async with open_session() as session:
            ending.newcomer = str((await card.send(session, url)).status)
    except (aiohttp.ClientError, OSError) as error:
        ending.newcomer = type(error).__name__
    ending.newcomer_s = time.monotonic() - began
