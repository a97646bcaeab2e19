"""The routes of JigsawStack's Truss: bare output, falsy values, failures as 200 or not."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asr.api.truss.schemas import EndedPrediction, PredictProblem
from asr.api.truss.webhook import webhook_body
from asr.http.app_keys import JOBS
from asr.jobs.job import Job, JobState
from tests.conftest import eventually, tone, wav
from tests.support.spoken import dialogue, worded

CLIP = wav(tone(2.0))
URI = "data:audio/wav;base64," + base64.b64encode(CLIP).decode()
OUTPUT = {"text": " 2.00 s", "chunks": [{"timestamp": [0.0, 2.0], "text": " 2.00 s"}]}
PATHS = ["/production/predict", "/predict"]
FAILURES = [
    ({}, 422, "url: is missing"),
    ({"url": "not-a-url"}, 400, "Invalid URL"),
    ({"url": URI, "diarise_audio": True, "num_speakers": 51}, 422, "at most 50"),
    ({"url": URI, "timestamp": "letter"}, 422, "must be one of chunk, word"),
    ({"url": "data:,x"}, 400, "decoded"),
]


async def problem(response: Any) -> str:
    return PredictProblem.model_validate_json(await response.text(), extra="forbid").detail


@pytest.mark.parametrize("path", PATHS)
async def test_the_answer_is_the_bare_output(client: Any, path: str) -> None:
    response = await client.post(path, json={"url": URI, "batch_size": 24, "chunk_length_s": 15})
    assert (response.status, await response.json()) == (200, OUTPUT)


@pytest.mark.parametrize("nothing", [0, "", None, False])
async def test_what_is_falsy_counts_as_unset(client: Any, engine: Any, nothing: object) -> None:
    names = ("task", "language", "batch_size", "chunk_length_s", "timestamp", "diarise_audio")
    response = await client.post("/predict", json={"url": URI, **dict.fromkeys(names, nothing)})
    assert (response.status, await response.json()) == (200, OUTPUT)
    [[window]] = engine.steps
    assert window.options.task == "transcribe"


@pytest.mark.parametrize("timestamp", ["Chunk", "work"])
async def test_the_originals_default_and_its_misspelt_value_give_chunks(
    client: Any, timestamp: str
) -> None:
    response = await client.post("/predict", json={"url": URI, "timestamp": timestamp})
    assert (response.status, await response.json()) == (200, OUTPUT)
    assert ("'word' for words" in response.headers.get("X-Warnings", "")) == (timestamp == "work")


@pytest.mark.parametrize(("fields", "status", "named"), FAILURES)
async def test_a_failure_has_its_status(
    client: Any, fields: dict[str, Any], status: int, named: str
) -> None:
    response = await client.post("/production/predict", json=fields)
    assert response.status == status
    assert named in await problem(response)


async def test_a_full_queue_refuses_no_prediction_for_later(make_client: Any, engine: Any) -> None:
    client = await make_client(max_queue_seconds=1.0)
    engine.gate.clear()
    asking = asyncio.create_task(client.post("/predict", json={"url": URI}))
    await eventually(lambda: engine.steps)
    assert (await client.post("/predict", json={"url": URI})).status == 429
    response = await client.post("/async_predict", json={"model_input": {"url": URI}})
    assert response.status == 202
    engine.gate.set()
    await asking


async def test_with_the_setting_failures_are_200(make_client: Any) -> None:
    client = await make_client(truss_errors_as_200=True)
    for fields, _, named in FAILURES:
        response = await client.post("/production/predict", json=fields)
        assert response.status == 200
        assert named in await problem(response)
    assert (await client.post("/asr", json={})).status == 422


async def test_the_key_is_wanted_whatever_the_setting(make_client: Any) -> None:
    client = await make_client(truss_errors_as_200=True, api_key="k")
    response = await client.post("/predict", json={"url": URI})
    assert (response.status, "API key" in await problem(response)) == (401, True)


@pytest.fixture
async def jobs_client(make_client: Any, tmp_path: Path) -> Any:
    """Return a client of an app that keeps jobs, and may reach private addresses."""
    return await make_client(jobs_dir=tmp_path / "jobs", allow_private_urls=True)


async def ended(client: Any, request_id: str) -> tuple[Job, dict[str, Any]]:
    """Wait for a prediction; return its job, and what its webhook is told."""
    jobs = client.app[JOBS]
    await jobs.wait(request_id, "")
    job = await jobs.get(request_id, "", with_result=True)
    transcript = await jobs.transcript(job) if job.state is JobState.COMPLETED else None
    return job, json.loads(json.dumps(webhook_body(job, transcript)))


@pytest.mark.parametrize("path", ["/production/async_predict", "/async_predict"])
async def test_a_prediction_for_later_is_told_in_basetens_shape(
    jobs_client: Any, path: str
) -> None:
    hook = "http://127.0.0.1:9/hook"  # nobody answers there
    sent = {"model_input": {"url": URI, "language": ""}, "webhook_endpoint": hook, "priority": 2}
    response = await jobs_client.post(path, json=sent)
    answer = await response.json()
    assert (response.status, list(answer)) == (202, ["request_id"])
    job, told = await ended(jobs_client, answer["request_id"])
    EndedPrediction.model_validate(told, extra="forbid")
    assert (job.priority, job.request["webhook"]["url"]) == (-2, hook)  # type: ignore[index]
    assert told.pop("time").endswith("Z")
    assert told == {
        "request_id": job.id,
        "model_id": "fake",
        "deployment_id": "production",
        "type": "async_request_completed",
        "data": OUTPUT,
        "errors": [],
    }


async def test_a_private_address_is_forbidden_now_and_later(client: Any) -> None:
    sent = {"url": "http://127.0.0.1/a.wav"}
    for path, body in (("/predict", sent), ("/async_predict", {"model_input": sent})):
        response = await client.post(path, json=body)
        assert (response.status, "not public" in await problem(response)) == (403, True)


async def test_a_prediction_that_fails_later_is_told_as_predict_tells_it(jobs_client: Any) -> None:
    response = await jobs_client.post("/async_predict", json={"model_input": {"url": "data:,x"}})
    _, told = await ended(jobs_client, (await response.json())["request_id"])
    EndedPrediction.model_validate(told, extra="forbid")
    assert told["data"]["error"] is True
    assert "decoded" in told["data"]["detail"]
    [error] = told["errors"]
    assert (error["code"], error["message"]) == ("bad_audio", told["data"]["detail"])


@pytest.mark.parametrize(
    ("sent", "status", "named"),
    [
        ({"url": URI}, 422, "model_input"),
        ({"model_input": {}}, 422, "url"),
        ({"model_input": {"url": "not-a-url"}}, 400, "Invalid URL"),
        ({"model_input": {"url": URI}, "priority": 3}, 422, "priority"),
        ({"model_input": {"url": URI}, "webhook_endpoint": "ftp://a.example"}, 400, "http"),
        (
            {
                "model_input": {
                    "url": URI,
                    "diarise_audio": True,
                    "min_speakers": 3,
                    "max_speakers": 2,
                }
            },
            400,
            "min_speakers",
        ),
        ({"model_input": {"url": URI, "timestamp": "word"}}, 400, "word timestamps"),
    ],
)
async def test_a_prediction_for_later_that_cannot_be_is_refused_at_once(
    jobs_client: Any, sent: dict[str, Any], status: int, named: str
) -> None:
    response = await jobs_client.post("/async_predict", json=sent)
    assert response.status == status
    assert named in await problem(response)


async def test_diarise_audio_gives_the_speakers_beside_the_chunks(client: Any, engine: Any) -> None:
    engine.transcribe, engine.info = worded, replace(engine.info, has_words=True)
    talk = "data:audio/wav;base64," + base64.b64encode(wav(dialogue(1.0, 1.0))).decode()
    asked = {"url": talk, "diarise_audio": True, "num_speakers": 0}
    output = await (await client.post("/predict", json=asked)).json()
    chunks = [
        {"timestamp": t, "text": x} for t, x in (([0.0, 1.0], " w00 w01"), ([1.0, 2.0], " w02 w03"))
    ]
    speakers = [{"speaker": f"SPEAKER_0{n}", **chunk} for n, chunk in enumerate(chunks)]
    assert output == {"text": " w00 w01 w02 w03", "chunks": chunks, "speakers": speakers}


async def test_without_a_diarizer_the_setting_is_named(make_client: Any) -> None:
    client = await make_client(diarizer="off")
    response = await client.post("/predict", json={"url": URI, "diarise_audio": True})
    assert response.status == 400
    assert "diarise_audio needs a diarizer" in (detail := await problem(response))
    assert "DIARIZER=off" in detail
