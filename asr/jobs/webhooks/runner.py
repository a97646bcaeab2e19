"""Delivers webhooks: when each is sent, how often, and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from asr.concurrency import Outage, run_in_thread
from asr.errors import AsrError, CallerError, StoreUnavailable
from asr.jobs.job import BETWEEN, Job, JobKind, JobState, Json, Outcome, delivery_id
from asr.jobs.store import JobStore
from asr.jobs.webhooks.message import iso, signed, usual
from asr.outbound.webhook import WebhookAnswer

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Post = Callable[[str, Mapping[str, str], bytes], Awaitable[WebhookAnswer]]

HOUR = 3600.0  # seconds
DELAYS = (5.0, 30.0, 120.0, 600.0, 1800.0, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR)
JITTER = 0.2  # A delay is at random up to so much longer or shorter, as its share.
LONGEST_WISH = 6 * HOUR  # A receiver that asks for a later attempt gets at most so many seconds.
POLL_SECONDS = 1.0  # Deliveries that are due are looked for so often.
FAULT = "this server cannot send it: its log has the details"
AT_ONCE = 16  # So many attempts may run at once.
SHARE = 0.75  # One client's attempts are at most this share of them.
LONGEST_PAUSE_SECONDS = 8.0  # While the store is away, it is asked again after so long at most.
MOST_TAKES = 50  # A delivery that was begun so often, and ended by a fault each time, fails.
GONE = 410  # A receiver that answers so wants nothing more.
AGAIN = {408, 425, 429}  # These statuses pass, as all from 500 on do.


@dataclass(frozen=True)
class Pace:
    """How often a delivery is tried, and how many at once."""

    delays: Sequence[float] = DELAYS  # seconds between an attempt and the next
    poll_s: float = POLL_SECONDS
    at_once: int = AT_ONCE


class Verdict(StrEnum):
    """What an answer means for its delivery."""

    DELIVERED = "delivered"
    AGAIN = "again"
    FAILED = "failed"  # for good

    @classmethod
    def of(cls, answer: WebhookAnswer) -> Verdict:
        status = answer.status
        if answer.is_refused:
            return cls.FAILED
        if status is None or status >= 500 or status in AGAIN:
            return cls.AGAIN
        return cls.DELIVERED if 200 <= status < 300 else cls.FAILED


def attempts_of(delivery: Job) -> Sequence[Json]:
    """The attempts that were made at a delivery; of a delivered one got with its result."""
    found = (delivery.result or delivery.error or {}).get("attempts", ())
    return found if isinstance(found, list) else ()


def delay(attempt: int, answer: WebhookAnswer, delays: Sequence[float]) -> float | None:
    """The seconds from an attempt, the first is 1, to the next; None: it was the last one."""
    if attempt > len(delays):
        return None
    planned = delays[attempt - 1] * random.uniform(1 - JITTER, 1 + JITTER)
    if answer.status not in {429, 503}:
        return planned
    return max(planned, min(answer.retry_after or 0.0, LONGEST_WISH))


class WebhookRunner:
    """Takes deliveries that are due and makes one attempt at each.

    It needs neither the engine nor the worker of transcriptions: a receiver that does not answer
    delays other webhooks at most. A delivery that was interrupted is taken again, so a
    receiver may get it twice, with the same id.

    Args:
        owner: the name under which deliveries are taken, not that of another worker.
        post: sends a body with headers to a URL.
        body: makes the body of a job that was got with its result.
        secret: signs the webhooks of jobs without a secret of their own.
        count: is called with the verdict of each attempt.
    """

    def __init__(
        self,
        store: JobStore,
        owner: str,
        post: Post,
        body: Callable[[Job], Awaitable[bytes]],
        secret: str | None = None,
        pace: Pace = Pace(),
        count: Callable[[Verdict], None] = lambda _: None,
    ) -> None:
        self._store, self._owner = store, owner
        self._post, self._body, self._secret = post, body, secret
        self._pace, self._count = pace, count
        self._free = asyncio.Semaphore(pace.at_once)
        self._clients: Counter[str] = Counter()  # attempts that run, by client
        self._running: set[str] = set()  # the deliveries of these attempts, by their ids
        self._strays: set[str] = set()  # deliveries that are ours, and that nobody runs
        self._outage = Outage(
            log, "webhooks wait for the job store", "webhooks go on", (StoreUnavailable,)
        )
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Look for deliveries now."""
        self._news.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver while the block runs."""
        task = asyncio.create_task(self._deliver())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _deliver(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat())
            while True:
                await self._free.acquire()
                job = await self._next()
                self._clients[job.client] += 1
                self._running.add(job.id)
                group.create_task(self._run(job))

    async def _beat(self) -> None:
        while True:
            with self._outage.survived("a look at the deliveries that run"):
                await self._put_strays_back(await self._store.beat(self._owner))
            await asyncio.sleep(self._pace.poll_s)

    async def _put_strays_back(self, owned: set[str]) -> None:
        """Put back what the store gave us and nobody runs, once it was seen twice."""
        strays = owned - self._running
        for stray in strays & self._strays:
            found = await self._store.get(stray)
            if found is not None and found.owner == self._owner:
                await self._store.finish(found, self._put_back(found))
        self._strays = strays

    def _put_back(self, delivery: Job) -> Outcome:
        if delivery.attempt >= MOST_TAKES:
            error = {"message": FAULT, "attempts": attempts_of(delivery)}
            return Outcome(JobState.FAILED, error=error)
        delays = self._pace.delays
        wait = delays[min(delivery.attempt, len(delays)) - 1]
        return Outcome(JobState.QUEUED, error=delivery.error, due_at=time.time() + wait)

    async def _next(self) -> Job:
        while True:
            self._news.clear()
            share = max(1, int(self._pace.at_once * SHARE))
            busy = {client for client, count in self._clients.items() if count >= share}
            taken = None
            with self._outage.survived("a look for deliveries"):
                taken = await self._store.take(self._owner, JobKind.DELIVERY, busy)
            if taken is not None:
                return taken
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pace.poll_s):
                    await self._news.wait()

    async def _run(self, delivery: Job) -> None:
        try:
            await self._attempt(delivery)
        except Exception:  # a fault of ours in one delivery must not end the others
            log.exception("webhook %s is put back after a fault", delivery.id)
        finally:
            self._clients[delivery.client] -= 1
            self._running.remove(delivery.id)
            self._free.release()
            self.wake()  # for those of the same client that wait

    async def _attempt(self, delivery: Job) -> None:
        job_id, webhook_id = str(delivery.request["job"]), str(delivery.request["webhook_id"])
        if attempts_of(delivery) and await self._is_replaced(delivery):
            await self._end(delivery, JobState.CANCELLED, "a newer delivery replaces it")
            return
        job = await self._patiently(lambda: self._store.get(job_id, with_result=True))
        if job is None:
            reason = "the job and its result are not kept any more (JOBS_TTL_HOURS)"
            await self._end(delivery, JobState.FAILED, reason)
            return
        started = time.time()
        answer = await self._sent(job, webhook_id)
        await self._note(delivery, answer, started)

    async def _sent(self, job: Job, webhook_id: str) -> WebhookAnswer:
        webhook: Any = job.request["webhook"]
        try:
            body = await self._body(job)
            secret = webhook.get("secret") or self._secret
            now = datetime.now(UTC)
            own = await run_in_thread(signed, webhook_id, secret, now, body)
            headers = usual(webhook.get("headers") or {}) | own
            return await self._post(webhook["url"], headers, body)
        except AsrError as error:  # the result cannot be read
            return WebhookAnswer(None, error.message, is_refused=isinstance(error, CallerError))
        except Exception:  # a fault of ours must end neither the runner nor the delivery
            log.exception("webhook %s cannot be sent", webhook_id)
            return WebhookAnswer(None, FAULT)

    async def _note(self, delivery: Job, answer: WebhookAnswer, started: float) -> None:
        """Keep what came of an attempt, and when the next one is, if there is to be one."""
        earlier, verdict, now = attempts_of(delivery), Verdict.of(answer), time.time()
        number = len(earlier) + 1
        wait = delay(number, answer, self._pace.delays) if verdict is Verdict.AGAIN else None
        if wait is None and verdict is Verdict.AGAIN:
            verdict = Verdict.FAILED
        due_at = None if wait is None else now + wait
        attempt: Json = {
            "number": number,
            "at": iso(started),
            "status": answer.status,
            "reason": None if verdict is Verdict.DELIVERED else _reason(answer),
            "milliseconds": round((now - started) * 1000),
            "next_at": due_at and iso(due_at),
        }
        self._count(verdict)
        said = answer.status or answer.reason
        log.info("webhook %s, attempt %d: %s (%s)", delivery.id, number, verdict, said)
        attempts = [*earlier, attempt]
        if verdict is Verdict.DELIVERED:
            outcome = Outcome(JobState.COMPLETED, result={"attempts": attempts})
        else:
            state = JobState.FAILED if due_at is None else JobState.QUEUED
            error = {"message": attempt["reason"], "attempts": attempts}
            outcome = Outcome(state, error=error, due_at=due_at or 0.0)
        await self._patiently(lambda: self._store.finish(delivery, outcome))

    async def _is_replaced(self, delivery: Job) -> bool:
        job_id, event = str(delivery.request["job"]), str(delivery.request["event"])
        first = delivery_id(job_id, event, 1)
        number = int(delivery.id.removeprefix(first).removeprefix(BETWEEN) or 1)
        newer = delivery_id(job_id, event, number + 1)
        return await self._patiently(lambda: self._store.get(newer)) is not None

    async def _end(self, delivery: Job, state: JobState, reason: str) -> None:
        error = {"message": reason, "attempts": attempts_of(delivery)}
        await self._patiently(lambda: self._store.finish(delivery, Outcome(state, error=error)))

    async def _patiently(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Call the store until it answers: what an attempt came to must not be lost."""
        pause, name = self._pace.poll_s, "a delivery"
        while True:
            try:
                result = await call()
            except StoreUnavailable as error:
                self._outage.note(name, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                self._outage.over(name)
                return result


def _reason(answer: WebhookAnswer) -> str:
    status = answer.status
    if status is None:
        return answer.reason
    if status == GONE:
        return f"the receiver answered {GONE}: it wants no more of these webhooks"
    if 300 <= status < 400:
        return f"the receiver answered {status}: redirects are not followed, give the final URL"
    return f"the receiver answered {status}"
