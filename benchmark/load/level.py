"""Run one level of load: many callers at once, while the health check is probed."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, islice

import aiohttp

from benchmark.load.clips import Clip

PROBE_TIMEOUT_S = 10.0  # A probe fails after so many seconds without an answer.
DETAIL_LENGTH = 200  # Of a failure's message so many characters are kept.
# These headers of an answer are kept.
HEADERS = (
    "X-Processing-Time",
    "X-Queue-Time",
    "X-Audio-Length",
    "X-Realtime-Factor",
    "X-Model-ID",
    "X-GPU-Name",
    "X-Hardware",
    "X-Salad-Machine-ID",
    "X-Salad-Container-Group-ID",
)


@dataclass(frozen=True)
class Target:
    """Describes the server under load and how requests are sent to it."""

    url: str  # without a path
    route: str = "/asr"
    api_key: str | None = None
    timeout_s: float = 600.0  # of one request
    patient: bool = False  # a refusal (429) is tried again after its Retry-After
    probe_hz: float = 10.0  # of /hc; 0: none


@dataclass(frozen=True)
class Amount:
    """Limits a level to so many requests, or to requests begun within so many seconds."""

    requests: int | None = None
    seconds: float = 20.0


@dataclass(frozen=True)
class Answer:
    """Holds the outcome of one request."""

    latency: float = math.nan  # seconds, refusals and their waits included
    failure: str | None = None  # a status, or what broke
    detail: str = ""  # the failure in the server's words
    retry_after: float = 1.0  # seconds
    refusals: int = 0  # 429 answers that were tried again
    words: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Probes:
    """Collects the answers of the health check during a level."""

    latencies: list[float] = field(default_factory=list)  # seconds, of 200 answers
    failures: list[str] = field(default_factory=list)
    lateness: list[float] = field(default_factory=list)  # seconds by which we began too late


@dataclass
class Level:
    """Collects the measurements of a level while it runs."""

    concurrency: int
    answers: list[Answer] = field(default_factory=list)
    probes: Probes = field(default_factory=Probes)
    warm_up: Answer = Answer()
    seconds: float = 0.0  # from the first request's start to the last answer


async def run(
    level: Level,
    target: Target,
    clips: Sequence[Clip],
    amount: Amount,
    advance: Callable[[], object],
    warm_up: Clip | None = None,
) -> None:
    """Send clips and fill `level`; call `advance` after each answer.

    A level that is cancelled keeps what it has.

    Args:
        warm_up: sent before all others and not counted; None: the first of `clips`.
    """
    async with open_session(target) as session:
        level.warm_up = await send(session, target, warm_up or clips[0])
        supply = _supply(clips, amount)
        finished = asyncio.Event()
        started = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_probe(target, level.probes, finished))
                async with asyncio.TaskGroup() as callers:
                    for _ in range(level.concurrency):
                        call = _call(level, session, target, supply, started, advance)
                        callers.create_task(call)
                finished.set()
        except asyncio.CancelledError:
            level.seconds = time.monotonic() - started
            raise


def open_session(target: Target) -> aiohttp.ClientSession:
    key = target.api_key
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=target.timeout_s),
        headers={"Authorization": f"Bearer {key}"} if key else None,
    )


async def send(session: aiohttp.ClientSession, target: Target, clip: Clip) -> Answer:
    """Send `clip`; a patient target gets it again after each refusal."""
    started = time.monotonic()
    refusals = 0
    while True:
        answer = await _attempt(session, target, clip)
        if answer.failure != "429" or not target.patient:
            return replace(answer, latency=time.monotonic() - started, refusals=refusals)
        refusals += 1
        await asyncio.sleep(answer.retry_after)


async def _attempt(session: aiohttp.ClientSession, target: Target, clip: Clip) -> Answer:
    try:
        async with session.post(target.url + target.route, **clip.payload(target.route)) as reply:
            body = await reply.read()
            if reply.status != 200:
                return _failure(reply, body)
            text = json.loads(body)["text"]
            headers = {name: reply.headers[name] for name in HEADERS if name in reply.headers}
            return Answer(words=len(text.split()), headers=headers)
    except TimeoutError:
        return Answer(failure="timeout", detail=f"no answer in {target.timeout_s:g} s")
    except (aiohttp.ClientError, OSError) as error:
        return Answer(failure=type(error).__name__, detail=str(error)[:DETAIL_LENGTH])
    except (ValueError, KeyError, TypeError, AttributeError):
        detail = body[:DETAIL_LENGTH].decode(errors="replace")
        return Answer(failure="not a transcript", detail=detail)


def _failure(reply: aiohttp.ClientResponse, body: bytes) -> Answer:
    try:
        retry_after = max(0.0, float(reply.headers.get("Retry-After", "1")))
    except ValueError:
        retry_after = 1.0
    detail = body[:DETAIL_LENGTH].decode(errors="replace")
    return Answer(failure=str(reply.status), detail=detail, retry_after=retry_after)


def _supply(clips: Sequence[Clip], amount: Amount) -> Iterator[Clip]:
    """Yield the clips in turn; all callers share this iterator."""
    if amount.requests is not None:
        yield from islice(cycle(clips), amount.requests)
        return
    ends = time.monotonic() + amount.seconds
    for clip in cycle(clips):
        if time.monotonic() >= ends:
            return
        yield clip


async def _call(
    level: Level,
    session: aiohttp.ClientSession,
    target: Target,
    supply: Iterator[Clip],
    started: float,
    advance: Callable[[], object],
) -> None:
    """Send, as one caller, the next clip as soon as the last is answered."""
    for clip in supply:
        answer = await send(session, target, clip)
        level.answers.append(answer)
        level.seconds = time.monotonic() - started
        advance()


async def _probe(target: Target, probes: Probes, finished: asyncio.Event) -> None:
    """Probe /hc at its rate; probes under way at the end are awaited, not dropped."""
    if not target.probe_hz:
        return
    loop = asyncio.get_running_loop()
    due = loop.time()
    timeout = aiohttp.ClientTimeout(total=PROBE_TIMEOUT_S)
    fresh = aiohttp.TCPConnector(limit=0, force_close=True)  # each probe connects, as real ones do
    async with (
        aiohttp.ClientSession(connector=fresh, timeout=timeout) as session,
        asyncio.TaskGroup() as pending,  # a slow answer does not delay the next probe
    ):
        while not finished.is_set():
            pending.create_task(_probe_once(session, target, probes))
            due = max(due + 1 / target.probe_hz, loop.time())
            try:
                async with asyncio.timeout_at(due):
                    await finished.wait()
            except TimeoutError:
                probes.lateness.append(loop.time() - due)


async def _probe_once(session: aiohttp.ClientSession, target: Target, probes: Probes) -> None:
    started = time.monotonic()
    try:
        async with session.get(target.url + "/hc") as reply:
            await reply.read()
    except TimeoutError:
        probes.failures.append("timeout")
    except (aiohttp.ClientError, OSError) as error:
        probes.failures.append(type(error).__name__)
    else:
        if reply.status == 200:
            probes.latencies.append(time.monotonic() - started)
        else:
            probes.failures.append(str(reply.status))
