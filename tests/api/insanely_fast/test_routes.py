"""Insanely Fast Whisper's routes: what its clients send, its answers by their keys, its errors."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import FormData

from asr.api.insanely_fast.schemas import CompletedTask, TaskProblem
from asr.engines.engine import WindowResult
from asr.transcript import Segment, Word
from tests.conftest import eventually, tone, wav

CLIP = wav(tone(2.0))
URI = "data:audio/wav;base64," + base64.b64encode(CLIP).decode()
CHUNK = {"timestamp": [0.0, 2.0], "text": " 2.00 s"}
OUTPUT = {"text": " 2.00 s", "chunks": [CHUNK]}
PATHS = ["/", "/upload"]
HOOK = "https://example.com/hook"


def form(part: str = "audio", **fields: str) -> FormData:
    made = FormData(fields, default_to_multipart=True)
    made.add_field(part, CLIP, filename="a.wav")
    return made


async def completed(response: Any) -> CompletedTask:
    text = await response.text()
    assert response.status == 200, text
    return CompletedTask.model_validate_json(text, extra="forbid")


async def refused(response: Any) -> tuple[int, Any]:
    text = await response.text()
    return response.status, TaskProblem.model_validate_json(text, extra="forbid").detail


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("part", ["audio", "file"])
async def test_a_file_may_have_either_name_on_both_routes(
    client: Any, path: str, part: str
) -> None:
    response = await client.post(path, data=form(part, language="None", batch_size="64"))
    assert (await completed(response)).output.model_dump(mode="json") == OUTPUT


@pytest.mark.parametrize("path", PATHS)
async def test_json_is_answered_with_exactly_the_originals_keys(client: Any, path: str) -> None:
    fields = {"url": URI, "task": "transcribe", "language": "en", "batch_size": 24}
    answer = await (await client.post(path, json={**fields, "webhook": None})).json()
    assert len(answer.pop("task_id")) == 32
    assert answer == {"output": OUTPUT, "status": "completed"}


async def test_on_fly_the_answer_names_the_machine(make_client: Any) -> None:
    client = await make_client(fly_machine_id="d891")
    answer = await (await client.post("/", json={"url": URI})).json()
    assert answer.keys() == {"output", "status", "task_id", "fly_machine_id"}
    assert answer["fly_machine_id"] == "d891"


@pytest.mark.parametrize(
    "fields",
    [
        {"timestamp": "word"},
        {"timestamp_granularities": "word"},
        {"timestamp_granularities": ["segment", "word"]},
    ],
)
async def test_words_are_chunks_where_they_are_asked_for(
    make_client: Any, engine: Any, fields: dict[str, Any]
) -> None:
    words = (Word(" one", 0.0, 0.5), Word(" two", 0.5, 1.0))
    engine.info = replace(engine.info, has_words=True)
    engine.transcribe = lambda window: WindowResult(
        window, (Segment(0.0, 1.0, " one two", words),), "en"
    )
    client = await make_client()
    answer = await completed(await client.post("/", json={"url": URI, **fields}))
    assert [chunk.text for chunk in answer.output.chunks] == [" one", " two"]
    [[window]] = engine.steps
    assert window.options.timestamps == "word"


async def test_translation_and_language_reach_the_engine(client: Any, engine: Any) -> None:
    await completed(await client.post("/", data=form(task="translate", language="spanish")))
    [[window]] = engine.steps
    assert (window.options.task, window.options.language) == ("translate", "es")


@pytest.mark.parametrize(
    ("fields", "status", "named"),
    [
        ({"url": "not-a-url"}, 400, "Invalid URL"),
        ({"url": "ftp://a/b"}, 400, "use http"),
        ({"url": "http://127.0.0.1/a"}, 403, "127.0.0.1"),
        ({"url": "data:,x"}, 400, "decoded"),
        ({"url": URI, "diarise_audio": True}, 400, "diarizer"),
        ({"url": URI, "is_async": True}, 400, "Webhook is required for async tasks"),
        ({"url": URI, "language": "klingon"}, 400, "klingon"),
        ({"url": URI, "timestamp": "word"}, 400, "word timestamps"),
    ],
)
async def test_a_bad_request_is_told_in_the_detail(
    client: Any, fields: dict[str, Any], status: int, named: str
) -> None:
    found, detail = await refused(await client.post("/", json=fields))
    assert (found, named in detail) == (status, True), detail


@pytest.mark.parametrize(
    ("fields", "place", "kind", "reason"),
    [
        ({}, ["url"], "missing", "is missing"),
        ({"url": 5}, ["url"], "string_type", "must be text"),
        ({"url": URI, "task": "sing"}, ["task"], "literal_error", "one of transcribe, translate"),
        ({"url": URI, "batch_size": "many"}, ["batch_size"], "int_parsing", "whole number"),
        ({"url": URI, "timestamp": "letter"}, ["timestamp"], "literal_error", "chunk, word"),
        ({"url": URI, "webhook": {}}, ["webhook", "url"], "missing", "is missing"),
        ({"url": URI, "webhook": "hook"}, ["webhook", "url"], "webhook", "begin with http://"),
        ({"url": URI, "webhook": "{broken"}, ["webhook"], "webhook", "a URL or a JSON object"),
        ({"url": URI, "webhook": "{" * 20_000}, ["webhook"], "webhook", "at most"),
        (
            {"url": URI, "webhook": {"url": HOOK, "header": {"a b": "c"}}},
            ["webhook", "header"],
            "webhook",
            "a name that no header can have",
        ),
        (
            {"url": URI, "webhook": {"url": HOOK, "header": {"a": "b\r\nc: d"}}},
            ["webhook", "header"],
            "webhook",
            "a value that no header can have",
        ),
        (
            {"url": URI, "webhook": {"url": HOOK, "header": {"a": 5}}},
            ["webhook", "header", "a"],
            "string_type",
            "must be text",
        ),
    ],
)
async def test_an_invalid_field_is_a_422_with_fastapis_list(
    client: Any, fields: dict[str, Any], place: list[str], kind: str, reason: str
) -> None:
    status, [problem] = await refused(await client.post("/", json=fields))
    assert (status, problem.loc, problem.type) == (422, ["body", *place], kind)
    assert reason in problem.msg


async def test_the_checks_come_in_the_originals_order(client: Any) -> None:
    fields: dict[str, Any] = {"url": "x", "diarise_audio": True, "is_async": True}
    assert "Invalid URL" in (await refused(await client.post("/", json=fields)))[1]
    fields["url"] = URI
    assert "diarizer" in (await refused(await client.post("/", json=fields)))[1]
    fields["diarise_audio"] = False
    assert "Webhook" in (await refused(await client.post("/", json=fields)))[1]


async def test_a_form_without_audio_names_both_parts(client: Any) -> None:
    data = FormData({"language": "en"}, default_to_multipart=True)
    status, detail = await refused(await client.post("/upload", data=data))
    assert (status, "the part 'audio' or 'file'" in detail) == (400, True)


async def test_two_files_are_refused(client: Any) -> None:
    data = form("audio")
    data.add_field("file", CLIP, filename="b.wav")
    status, detail = await refused(await client.post("/", data=data))
    assert (status, "two parts" in detail) == (400, True)


async def test_a_models_failure_is_no_200(make_client: Any, engine: Any) -> None:
    engine.transcribe = lambda window: WindowResult(window, error=ValueError("secret"))
    client = await make_client()
    status, detail = await refused(await client.post("/", json={"url": URI}))
    assert (status, "secret" in detail) == (500, False)


async def test_a_full_queue_is_a_429_in_the_dialects_shape(make_client: Any, engine: Any) -> None:
    client = await make_client(max_queue_seconds=30)
    engine.gate.clear()
    first = asyncio.create_task(client.post("/asr", data=wav(tone(30))))
    await eventually(lambda: engine.steps)
    response = await client.post("/", json={"url": URI})
    assert (await refused(response))[0] == 429
    assert int(response.headers["Retry-After"]) >= 1
    engine.gate.set()
    assert (await first).status == 200


async def test_the_key_is_the_originals_header(make_client: Any) -> None:
    client = await make_client(api_key="k")
    assert (await refused(await client.post("/", json={"url": URI})))[0] == 401
    headers = {"x-admin-api-key": "k"}
    assert (await client.post("/", json={"url": URI}, headers=headers)).status == 200


async def test_the_root_has_no_page_and_unknown_paths_are_the_services_own(client: Any) -> None:
    assert (await refused(await client.get("/")))[0] == 405
    unknown = await client.get("/nothing")
    assert (unknown.status, list(json.loads(await unknown.text()))) == (404, ["error"])
