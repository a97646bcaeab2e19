"""A server tells the webhook of a job how it ended, and a dead receiver keeps nothing up."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from asr.audio.streams import stream_of
from asr.config.config import Config
from asr.http import app_keys
from asr.http.dialect import Dialect
from asr.jobs.job import Job, JobState
from asr.jobs.service import JobService
from asr.jobs.submission import Submission, Webhook
from asr.jobs.webhooks.message import envelope, signed
from asr.jobs.webhooks.runner import DELAYS, LONGEST_WISH, Pace, WebhookRunner
from asr.options import Options
from asr.server import jobs as server_jobs
from asr.server.app import DIALECTS, create_app
from asr.transcript import Transcript
from tests.conftest import PATIENCE_SECONDS, ROOT, eventually, free_port, tone, wav
from tests.support.fake_engine import FakeEngine
from tests.support.receiver import Receiver, hang

DOCUMENTED = (ROOT / "docs" / "jobs.md").read_text()
CLIP = wav(tone(2.0))
SECRET = "whsec_" + "QUJD" * 8
MakeServer = Callable[..., Awaitable[Any]]


def told(job: Job, transcript: Transcript | None) -> Any:
    text = transcript and "".join(segment.text for segment in transcript.segments)
    return envelope(job, {"id": job.id, "state": str(job.state), "text": text})


@pytest.fixture
def make_server(aiohttp_client: Any, engine: FakeEngine, tmp_path: Path) -> MakeServer:
    """Return a function that makes clients of a server with a dialect that tells webhooks."""
    dialect = Dialect(("/told/",), (), name="told", webhook_body=told)

    async def make(**settings: Any) -> Any:
        config = Config(**{"vad": "off", "jobs_dir": tmp_path / "jobs", **settings})
        return await aiohttp_client(create_app(config, lambda _: engine, (*DIALECTS, dialect)))

    return make


async def submitted(client: Any, url: str, **how: Any) -> Job:
    jobs = service(client)
    upload = await jobs.keep(stream_of([CLIP]))
    job = Submission({"upload": upload}, Options(), dialect="told", webhook=Webhook(url))
    return await jobs.submit(replace(job, **how))


def service(client: Any) -> JobService:
    found: JobService = client.app[app_keys.JOBS]
    return found


async def test_a_job_that_is_completed_is_told_with_its_text_and_a_signature(
    make_server: MakeServer, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = await make_server(webhook_secret=SECRET, allow_private_urls=True)
    job = await submitted(client, receiver.url)
    [received] = await receiver.arrived(1)
    told = Verifier(SECRET).verify(received.body, dict(received.headers))
    assert told["type"] == "job.completed"
    assert told["data"]["id"] == job.id
    assert told["data"]["text"].strip()
    assert received.headers["webhook-id"] == f"{job.id}~completed"
    await eventually(lambda: "delivered (204)" in caplog.text)
    metrics = await (await client.get("/metrics")).text()
    assert 'asr_webhook_attempts_total{verdict="delivered"} 1.0' in metrics
    assert SECRET[6:] not in caplog.text


async def test_the_end_of_a_job_is_told_at_once(
    make_server: MakeServer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = Pace(poll_s=100 * PATIENCE_SECONDS)  # Nothing is found by looking for it.
    monkeypatch.setattr(server_jobs, "WebhookRunner", partial(WebhookRunner, pace=never))
    client = await make_server(allow_private_urls=True)
    for count in (1, 2):
        await submitted(client, receiver.url)
        await receiver.arrived(count)


async def test_a_job_that_is_cancelled_is_told_as_cancelled(
    make_server: MakeServer, receiver: Receiver, engine: FakeEngine
) -> None:
    engine.gate.clear()
    client = await make_server(allow_private_urls=True)
    job = await submitted(client, receiver.url)
    await service(client).cancel(job.id, "")
    [received] = await receiver.arrived(1)
    assert json.loads(received.body)["type"] == "job.cancelled"
    assert received.headers["webhook-id"] == f"{job.id}~cancelled"
    engine.gate.set()


async def test_a_redelivery_has_the_id_of_the_first_delivery(
    make_server: MakeServer, receiver: Receiver
) -> None:
    client = await make_server(allow_private_urls=True)
    job = await submitted(client, receiver.url)
    await receiver.arrived(1)
    delivery = await service(client).redeliver(job.id, "")
    assert delivery.id == f"{job.id}~completed~2"
    first, second = await receiver.arrived(2)
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == f"{job.id}~completed"


async def test_receivers_that_hang_or_refuse_delay_no_transcription(
    make_server: MakeServer, receiver: Receiver
) -> None:
    receiver.answers = [hang]
    client = await make_server(allow_private_urls=True)
    refusing = f"http://127.0.0.1:{free_port()}/"
    jobs = [
        await submitted(client, url) for url in [receiver.url] * 20 + [refusing] * 4
    ]  # more than may be delivered at once
    for job in jobs:
        ended = await service(client).wait(job.id, "")
        assert ended.state is JobState.COMPLETED
    response = await client.post("/asr", data=CLIP)
    assert response.status == 200
    assert await response.json()


def test_the_documented_lines_verify_what_is_sent() -> None:
    [lines] = re.findall(r"```python\n(from standardwebhooks.*?)```", DOCUMENTED, re.S)
    names: dict[str, Any] = {}
    exec(lines.replace("whsec_…", SECRET), names)
    sent = signed("a~completed", SECRET, datetime.now(UTC), b'{"a": 1}')
    assert names["receive"](b'{"a": 1}', sent) == {"a": 1}
    with pytest.raises(WebhookVerificationError):
        names["receive"](b'{"a": 2}', sent)


def test_the_delays_are_documented() -> None:
    minutes = [seconds / 60 for seconds in DELAYS]
    assert minutes == [5 / 60, 0.5, 2, 10, 30, 60, 180, 360, 720, 1440]
    told = "5 s, 30 s, 2, 10 and 30 minutes, 1, 3, 6, 12 and 24 hours"
    assert told in " ".join(DOCUMENTED.split())
    assert f"up to {LONGEST_WISH / 3600:g} hours" in DOCUMENTED


@pytest.mark.parametrize(
    "query",
    [
        {"webhook": "http://127.0.0.1/"},
        {"webhook": "example.com/done"},
        {"webhook": "https://me:s3cr3t@a.example/"},
        {"webhook": "https://a.example/", "webhook_secret": "no base64"},
    ],
    ids=str,
)
async def test_nothing_is_kept_of_a_job_whose_webhook_cannot_be_used(
    make_server: MakeServer, tmp_path: Path, query: dict[str, str]
) -> None:
    client = await make_server()
    response = await client.post("/jobs", data=CLIP, params=query)
    assert response.status in {400, 403}
    said = (await response.json())["error"]
    assert "webhook" in said
    assert "s3cr3t" not in said
    assert [*(tmp_path / "jobs" / "uploads").glob("*")] == []
    assert (await (await client.get("/jobs")).json())["jobs"] == []


async def test_no_answer_shows_the_secret_of_a_webhook(
    make_server: MakeServer, receiver: Receiver
) -> None:
    client = await make_server(allow_private_urls=True)
    asked = {"webhook": receiver.url, "webhook_secret": SECRET}
    submitted = await client.post("/jobs", data=CLIP, params=asked)
    job = await submitted.json()
    await receiver.arrived(1)
    answers = [
        await submitted.text(),
        await (await client.get("/jobs")).text(),
        await (await client.get(f"/jobs/{job['id']}")).text(),
        await (await client.post(f"/jobs/{job['id']}/redeliver")).text(),
    ]
    assert [answer for answer in answers if SECRET[6:] in answer] == []
    assert all(job["id"] in answer for answer in answers)
