"""The routes of JigsawStack's Truss: bare output, falsy values, failures as 200 or not."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from asr.api.truss.schemas import PredictProblem
from tests.conftest import tone, wav

CLIP = wav(tone(2.0))
URI = "data:audio/wav;base64," + base64.b64encode(CLIP).decode()
OUTPUT = {"text": " 2.00 s", "chunks": [{"timestamp": [0.0, 2.0], "text": " 2.00 s"}]}
PATHS = ["/production/predict", "/predict"]
FAILURES = [
    ({}, 422, "url: is missing"),
    ({"url": "not-a-url"}, 400, "Invalid URL"),
    ({"url": URI, "diarise_audio": True}, 400, "diarizer"),
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
