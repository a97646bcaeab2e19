"""SaladCloud's job queue over `/asr`, with a stand-in for its worker.

https://docs.salad.com/container-engine/explanation/job-processing/job-queues: the worker beside the
server posts the `input` of one job after the other. A 2xx with JSON completes a job, everything
else is a failed attempt; after the fourth the job has failed.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import pytest

from asr.config.config import Config
from asr.engines.engine import WindowResult
from asr.formats.pipeline_json import pipeline_json
from asr.transcript import Segment, Transcript, Word
from tests.conftest import eventually, tone, wav
from tests.support.fake_engine import transcribed

ATTEMPTS = 4  # the first one and three retries
OUTPUT_BYTES = 10 * 10**6  # A larger output is refused.


def uri(seconds: float) -> str:
    return "data:audio/wav;base64," + base64.b64encode(wav(tone(seconds))).decode()


@dataclass
class QueueJob:
    input: dict[str, Any]
    statuses: list[int] = field(default_factory=list)  # of its attempts
    output: Any = None

    @property
    def is_completed(self) -> bool:
        return self.output is not None


async def work(client: Any, *jobs: QueueJob) -> None:
    """Post each job until it is completed or has failed, one at a time."""
    waiting = deque(jobs)
    while waiting:
        job = waiting.popleft()
        response = await client.post("/asr", data=io.BytesIO(json.dumps(job.input).encode()))
        body = await response.read()
        job.statuses.append(response.status)
        if 200 <= response.status < 300 and len(body) <= OUTPUT_BYTES:
            job.output = json.loads(body)
        elif len(job.statuses) < ATTEMPTS:
            waiting.append(job)


async def test_the_input_of_a_job_is_the_json_of_asr(client: Any) -> None:
    job = QueueJob({"url": uri(2.0), "timestamps": "none"})
    await work(client, job)
    assert (job.statuses, job.output) == ([200], {"text": " 2.00 s", "chunks": []})


async def test_what_fails_for_the_moment_is_completed_by_a_retry(client: Any, engine: Any) -> None:
    failures = [ValueError("once"), ValueError("twice")]

    def passing(window: Any) -> WindowResult:
        return WindowResult(window, error=failures.pop()) if failures else transcribed(window)

    engine.transcribe = passing
    job = QueueJob({"url": uri(1.0)})
    await work(client, job)
    assert (job.statuses, job.is_completed) == ([500, 500, 200], True)


@pytest.mark.parametrize(
    ("bad", "status"),
    [({}, 422), ({"url": "data:,x"}, 400), ({"url": "/etc/passwd"}, 403)],
)
async def test_bad_input_fails_without_the_engine_and_the_next_job_is_done(
    client: Any, engine: Any, bad: dict[str, Any], status: int
) -> None:
    refused, good = QueueJob(bad), QueueJob({"url": uri(1.0)})
    await work(client, refused, good)
    assert (refused.statuses, refused.is_completed) == ([status] * ATTEMPTS, False)
    assert (good.statuses, len(engine.steps)) == ([200], 1)


async def test_a_worker_alone_is_never_refused_however_long_its_audio_is(make_client: Any) -> None:
    client = await make_client(max_queue_seconds=30)
    jobs = [QueueJob({"url": uri(90.0), "timestamps": "none"}) for _ in range(2)]
    await work(client, *jobs)
    assert [job.statuses for job in jobs] == [[200], [200]]


async def test_other_callers_who_fill_the_queue_cost_a_job_its_attempts(
    make_client: Any, engine: Any
) -> None:
    client = await make_client(max_queue_seconds=30)
    engine.gate.clear()
    other = asyncio.create_task(client.post("/asr", data=wav(tone(30))))
    await eventually(lambda: engine.steps)
    job = QueueJob({"url": uri(1.0)})
    await work(client, job)
    assert (job.statuses, job.is_completed) == ([429] * ATTEMPTS, False)
    engine.gate.set()
    assert (await other).status == 200


def test_the_longest_audio_with_words_is_less_than_an_output_may_have() -> None:
    hours = Config().max_audio_seconds / 3600
    said = tuple(Word(f" word{n}", n / 4, n / 4 + 0.2) for n in range(4 * 30))
    window = Segment(0.0, 30.0, "".join(word.text for word in said), said)
    spoken = Transcript((window,) * 120, "en", 3600.0)  # an hour, at four words a second
    assert hours * len(json.dumps(pipeline_json(spoken, "word"))) < OUTPUT_BYTES
