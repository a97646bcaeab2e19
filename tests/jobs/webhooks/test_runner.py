"""Webhooks are delivered: when, how often, to whom never, and what is kept of the attempts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from asr.config.config import Config
from asr.errors import NotFound, StoreUnavailable
from asr.jobs import sqlite_store
from asr.jobs.job import Job, JobKind, JobState, Outcome
from asr.jobs.sqlite_store import SqliteStore
from asr.jobs.store import JobStore
from asr.jobs.submission import delivery
from asr.jobs.webhooks import runner as module
from asr.jobs.webhooks.message import envelope, written
from asr.jobs.webhooks.runner import (
    DELAYS,
    Pace,
    Verdict,
    WebhookRunner,
    attempts_of,
    delay,
)
from asr.outbound.fetch import FetchLimits, Outbound
from asr.outbound.webhook import WebhookAnswer, WebhookSender
from tests.conftest import PATIENCE_SECONDS, eventually, free_port
from tests.support.clock import Clock
from tests.support.job_stores import Opener
from tests.support.origin import Names, Origin
from tests.support.receiver import Receiver, hang, redirect, status

SECRET = "whsec_" + "QUJD" * 8
OTHERS = "RERE" * 8
AT_ONCE = Pace(delays=(0.0,) * 4, poll_s=0.01)
Body = Callable[[Job], Awaitable[bytes]]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with sqlite_store.open_store(tmp_path) as store:
        yield store


async def body(job: Job) -> bytes:
    return written(envelope(job, {"id": job.id, "result": job.result}))


@contextlib.asynccontextmanager
async def running(
    store: Any,
    make_body: Body = body,
    pace: Pace = AT_ONCE,
    secret: str | None = None,
    timeout_s: float = 20,
    resolver: Names | None = None,
) -> AsyncIterator[WebhookRunner]:
    """Run deliveries; private addresses are allowed unless names are resolved."""
    outbound = Outbound(FetchLimits(1, 1, allow_private=resolver is None), resolver)
    await outbound.open()
    post = WebhookSender(outbound, timeout_s).post
    runner = WebhookRunner(store, "me", post, make_body, secret, pace)
    async with runner.running():
        yield runner
    await outbound.close()


async def ended(store: JobStore, url: str, state: JobState = JobState.COMPLETED, **how: Any) -> str:
    """End a job with a webhook; return the id of its delivery."""
    webhook = {"url": url, "secret": None, "headers": {}, **how.pop("webhook", {})}
    job = Job(**{"id": "j", "kind": JobKind.TRANSCRIPTION, "request": {"webhook": webhook}, **how})
    await store.add(job)
    follower = delivery(job, state, 1)
    if state is JobState.CANCELLED:
        await store.cancel(job.id, [follower])
        return follower.id
    taken = await store.take("worker", JobKind.TRANSCRIPTION, ())
    assert taken is not None
    await store.finish(taken, Outcome(state, result={"text": "é"}, followers=[follower]))
    return follower.id


async def delivered(store: Any, job_id: str) -> Job:
    """Wait for the end of a delivery."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            job = await store.get(job_id, with_result=True)
            if job.state.has_ended:
                return job
            await asyncio.sleep(0.001)  # the store has nothing to wait on


def statuses(delivery: Job) -> Sequence[object]:
    return [attempt["status"] for attempt in attempts_of(delivery)]


async def test_a_webhook_tells_of_a_jobs_end_with_its_result(
    store: SqliteStore, receiver: Receiver
) -> None:
    job_id = await ended(store, receiver.url)
    async with running(store):
        delivery = await delivered(store, job_id)
    assert delivery.state is JobState.COMPLETED
    [attempt] = attempts_of(delivery)
    assert attempt["number"] == 1
    assert attempt["status"] == 204
    assert attempt["reason"] is attempt["next_at"] is None
    [received] = receiver.received
    told = json.loads(received.body)
    assert told["type"] == "job.completed"
    assert told["data"] == {"id": "j", "result": {"text": "é"}}
    job = await store.get("j")
    assert job is not None
    assert datetime.fromisoformat(told["timestamp"]).timestamp() == pytest.approx(
        job.ended_at, abs=0.001
    )
    assert received.headers["Content-Type"] == "application/json"
    assert received.headers["webhook-id"] == "j~completed"


async def test_a_dead_receiver_loses_no_result(store: SqliteStore) -> None:
    job_id = await ended(store, f"http://127.0.0.1:{free_port()}/")
    async with running(store):
        delivery = await delivered(store, job_id)
    assert delivery.state is JobState.FAILED
    assert statuses(delivery) == [None] * 5
    assert delivery.error is not None
    assert "accepts no connection" in str(delivery.error["message"])
    assert [bool(attempt["next_at"]) for attempt in attempts_of(delivery)] == [True] * 4 + [False]
    job = await store.get("j", with_result=True)
    assert job is not None
    assert job.state is JobState.COMPLETED
    assert job.result == {"text": "é"}


async def test_every_attempt_has_the_same_id_and_a_signature_of_its_very_bytes(
    open_store: Opener, receiver: Receiver, clock: Clock
) -> None:
    receiver.answers = [status(500), hang, status(429, Retry_After="0"), status(204)]
    async with open_store() as store:
        job_id = await ended(store, receiver.url, id="a.b", webhook={"secret": SECRET})
        async with running(store, secret=OTHERS, timeout_s=PATIENCE_SECONDS):
            await receiver.arrived(2)
            clock.advance(PATIENCE_SECONDS)
            delivery = await delivered(store, job_id)
    assert statuses(delivery) == [500, None, 429, 204]
    assert [attempt["number"] for attempt in attempts_of(delivery)] == [1, 2, 3, 4]
    assert [received.headers["webhook-id"] for received in receiver.received] == [
        "a%2Eb~completed"  # a full stop would divide what is signed
    ] * 4
    for received in receiver.received:
        told = Webhook(SECRET).verify(received.body, dict(received.headers))
        assert told == json.loads(received.body)
        with pytest.raises(Exception, match="No matching signature"):
            Webhook(SECRET).verify(received.body + b" ", dict(received.headers))


@pytest.mark.parametrize("secret", [SECRET, None])
async def test_the_servers_secret_signs_where_the_job_has_none(
    store: SqliteStore, receiver: Receiver, secret: str | None
) -> None:
    job_id = await ended(store, receiver.url)
    async with running(store, secret=secret):
        await delivered(store, job_id)
    [received] = receiver.received
    assert ("webhook-signature" in received.headers) == (secret is not None)
    assert received.headers["webhook-timestamp"].isdigit()
    if secret:
        Webhook(secret).verify(received.body, dict(received.headers))


async def test_a_receiver_that_is_gone_is_not_asked_again(
    store: SqliteStore, receiver: Receiver
) -> None:
    receiver.answers = [status(503), status(410), status(204)]
    job_id = await ended(store, receiver.url)
    async with running(store):
        delivery = await delivered(store, job_id)
    assert delivery.state is JobState.FAILED
    assert statuses(delivery) == [503, 410]
    assert delivery.error is not None
    assert "410: it wants no more" in str(delivery.error["message"])


@pytest.mark.parametrize("target", ["169.254.169.254", "127.0.0.1:{port}"])
@pytest.mark.usefixtures("as_public")
async def test_a_redirect_to_a_private_address_is_not_followed(
    store: SqliteStore, receiver: Receiver, target: str
) -> None:
    receiver.answers = [redirect(f"http://{target.format(port=receiver.port)}/private")]
    job_id = await ended(store, f"http://a.example:{receiver.port}/hook")
    async with running(store, resolver=Names(Origin.public)):
        delivery = await delivered(store, job_id)
    assert statuses(delivery) == [307]
    assert delivery.error is not None
    assert "redirects are not followed" in str(delivery.error["message"])
    assert [received.path for received in receiver.received] == ["/hook"]


async def test_a_private_address_is_refused_at_the_attempt_too(
    store: SqliteStore, receiver: Receiver
) -> None:
    job_id = await ended(store, f"http://a.example:{receiver.port}/hook")
    async with running(store, resolver=Names("127.0.0.1")):
        delivery = await delivered(store, job_id)
    assert delivery.state is JobState.FAILED
    assert statuses(delivery) == [None]
    assert "not public" in str(delivery.error)
    assert receiver.received == []


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.FAILED, JobState.EXPIRED])
async def test_every_end_is_told(store: SqliteStore, receiver: Receiver, state: JobState) -> None:
    job_id = await ended(store, receiver.url, state)
    async with running(store):
        await delivered(store, job_id)
    [received] = receiver.received
    assert json.loads(received.body)["type"] == f"job.{state}"
    assert received.headers["webhook-id"] == f"j~{state}"


class Away:
    """A store that does not answer while it is away."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.refusals = 0  # so many calls are refused from now on
        self.refused: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        async def call(*arguments: Any, **named: Any) -> object:
            if self.refusals:
                self.refusals -= 1
                self.refused.append(name)
                raise StoreUnavailable("it is away")
            result: object = await getattr(self._store, name)(*arguments, **named)
            return result

        return call


async def test_a_store_that_goes_away_in_mid_delivery_delays_what_is_noted_alone(
    store: SqliteStore, receiver: Receiver
) -> None:
    away = Away(store)

    async def answer(request: Any) -> Any:
        away.refusals = 20
        return await status(204)(request)

    receiver.answers = [answer]
    job_id = await ended(store, receiver.url)
    async with running(away):
        delivery = await delivered(store, job_id)
    assert {"finish", "beat"} <= set(away.refused)
    assert delivery.state is JobState.COMPLETED
    assert len(receiver.received) == 1


async def test_an_interrupted_delivery_is_taken_again_with_the_same_id(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.answers = [status(500), hang, status(204)]
    async with sqlite_store.open_store(tmp_path) as store:
        job_id = await ended(store, receiver.url)
        async with running(store):
            await receiver.arrived(2)
    async with sqlite_store.open_store(tmp_path) as store, running(store):
        delivery = await delivered(store, job_id)
    assert statuses(delivery) == [500, 204]  # what came of the second one nobody knows
    assert {received.headers["webhook-id"] for received in receiver.received} == {"j~completed"}
    assert len(receiver.received) == 3


async def test_another_clients_webhooks_do_not_wait_for_receivers_that_hang(
    store: SqliteStore, receiver: Receiver
) -> None:
    receiver.answers = [hang] * 3 + [status(204)]
    for number in range(5):
        await ended(store, receiver.url, id=f"a{number}", client="a")
    async with running(store, pace=replace(AT_ONCE, at_once=4)) as runner:
        await receiver.arrived(3)
        job_id = await ended(store, receiver.url, id="b", client="b")
        runner.wake()
        assert (await delivered(store, job_id)).state is JobState.COMPLETED
    assert [received.headers["webhook-id"][0] for received in receiver.received] == [*"aaab"]


async def test_a_job_that_is_forgotten_is_not_told_of(
    store: SqliteStore, receiver: Receiver
) -> None:
    await store.add(delivery(Job("j", JobKind.TRANSCRIPTION, {}), JobState.COMPLETED, 1))
    async with running(store):
        found = await delivered(store, "j~completed")
    assert found.state is JobState.FAILED
    assert "JOBS_TTL_HOURS" in str(found.error)
    assert receiver.received == []


async def test_a_newer_delivery_ends_one_that_waits(store: SqliteStore, receiver: Receiver) -> None:
    job_id = await ended(store, receiver.url)
    job = await store.get("j")
    assert job is not None
    newer = delivery(job, JobState.COMPLETED, 2)

    async def answer(request: Any) -> Any:
        await store.add(newer)
        return await status(500)(request)

    receiver.answers = [answer, status(204)]
    async with running(store):
        older = await delivered(store, job_id)
        assert statuses(await delivered(store, newer.id)) == [204]
    assert older.state is JobState.CANCELLED
    assert older.error is not None
    assert older.error["message"] == "a newer delivery replaces it"
    assert statuses(older) == [500]
    assert len(receiver.received) == 2
    assert {received.headers["webhook-id"] for received in receiver.received} == {job_id}


FAULTS = {
    ZeroDivisionError("secret"): [None, 204],
    StoreUnavailable("it is away"): [None, 204],
    NotFound("the result's file is lost"): [None],
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
async def test_a_fault_in_the_body_ends_no_runner(
    store: SqliteStore, receiver: Receiver, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    faults = [fault]

    async def faulty(job: Job) -> bytes:
        if faults:
            raise faults.pop()
        return await body(job)

    job_id = await ended(store, receiver.url)
    async with running(store, faulty):
        delivery = await delivered(store, job_id)
    assert statuses(delivery) == FAULTS[fault]
    assert "secret" not in str(attempts_of(delivery))
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert bool(errors) == isinstance(fault, ZeroDivisionError)


async def test_a_delivery_that_cannot_be_read_ends_no_runner(
    store: SqliteStore,
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_TAKES", 3)
    await store.add(Job("broken", JobKind.DELIVERY, {}))
    job_id = await ended(store, receiver.url)
    async with running(store):
        assert (await delivered(store, job_id)).state is JobState.COMPLETED
        broken = await delivered(store, "broken")  # it is taken again, but not for ever
    assert (broken.state, broken.attempt) == (JobState.FAILED, 3)
    assert caplog.text.count("webhook broken is put back after a fault") == 3


class Faulty(Away):
    """A store whose next calls of some names fail by a fault of ours."""

    def __init__(self, store: SqliteStore, faults: dict[str, int], is_done: bool) -> None:
        super().__init__(store)
        self.faults = Counter(faults)
        self.is_done = is_done  # what fails is done all the same

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        answer = super().__getattr__(name)

        async def call(*arguments: Any, **named: Any) -> object:
            if self.faults[name]:
                self.faults[name] -= 1
                if self.is_done:
                    await answer(*arguments, **named)
                raise ZeroDivisionError(name)
            return await answer(*arguments, **named)

        return call


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize("name", ["take", "beat", "get"])
async def test_webhooks_go_on_after_faults_of_their_store(
    store: SqliteStore,
    receiver: Receiver,
    name: str,
    is_done: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    faulty = Faulty(store, {name: 3}, is_done)
    job_id = await ended(store, receiver.url)
    async with running(faulty):
        assert (await delivered(store, job_id)).state is JobState.COMPLETED
        await eventually(lambda: not faulty.faults[name])
        second = await ended(store, receiver.url, id="second")
        assert (await delivered(store, second)).state is JobState.COMPLETED
    faults = [each for each in caplog.records if each.exc_info and each.levelno == logging.ERROR]
    assert 1 <= len(faults) <= (3 if name == "get" else 1)  # each attempt tells of itself


async def test_an_attempt_whose_outcome_cannot_be_kept_is_made_again(
    store: SqliteStore, receiver: Receiver
) -> None:
    faulty = Faulty(store, {"finish": 2}, is_done=False)
    job_id = await ended(store, receiver.url)
    async with running(faulty):
        assert (await delivered(store, job_id)).state is JobState.COMPLETED
    assert {received.headers["webhook-id"] for received in receiver.received} == {"j~completed"}


async def test_the_callers_headers_are_sent_and_no_secret_is_logged(
    store: SqliteStore, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.answers = [status(500), status(204)]
    headers = {"Authorization": "Bearer s3cret", "content-type": "application/json; charset=utf-8"}
    webhook = {"secret": SECRET, "headers": headers}
    job_id = await ended(store, f"{receiver.url}?key=s3cret", webhook=webhook)
    async with running(store):
        delivery = await delivered(store, job_id)
    for received in receiver.received:
        assert received.headers["Authorization"] == "Bearer s3cret"
        assert received.headers["Content-Type"] == "application/json; charset=utf-8"
    for text in (caplog.text, str(attempts_of(delivery))):
        assert "s3cret" not in text
        assert SECRET[6:] not in text
    assert "webhook j~completed, attempt 2: delivered" in caplog.text


VERDICTS = {
    **dict.fromkeys([200, 201, 204, 299], Verdict.DELIVERED),
    **dict.fromkeys([408, 425, 429, 500, 502, 503, 504, 599], Verdict.AGAIN),
    **dict.fromkeys([301, 302, 307, 308, 400, 401, 404, 410, 413, 422], Verdict.FAILED),
}


@pytest.mark.parametrize("code", VERDICTS)
def test_a_status_says_if_there_is_another_attempt(code: int) -> None:
    assert Verdict.of(WebhookAnswer(code)) is VERDICTS[code]


def test_attempts_go_on_for_two_days_further_and_further_apart() -> None:
    refused = WebhookAnswer(500)
    waits = [delay(attempt, refused, DELAYS) for attempt in range(1, len(DELAYS) + 1)]
    for wait, planned in zip(waits, DELAYS, strict=True):
        assert wait is not None
        assert 0.8 * planned <= wait <= 1.2 * planned
    assert waits != [*DELAYS]
    assert delay(len(DELAYS) + 1, refused, DELAYS) is None
    assert sum(DELAYS) > 46 * 3600


def test_a_job_is_kept_until_the_last_attempt_at_its_webhook() -> None:
    assert Config().jobs_ttl_hours * 3600 > 1.2 * (sum(DELAYS) + 3600)


@pytest.mark.parametrize(
    ("code", "wish", "low", "high"),
    [
        (429, 100.0, 100, 100),
        (503, 100.0, 100, 100),
        (429, 1.0, 4, 6),
        (429, 1e9, 21_600, 21_600),
        (500, 100.0, 4, 6),
    ],
)
def test_a_receiver_may_ask_for_a_later_attempt_within_bounds(
    code: int, wish: float, low: float, high: float
) -> None:
    wait = delay(1, WebhookAnswer(code, retry_after=wish), DELAYS)
    assert wait is not None
    assert low <= wait <= high
