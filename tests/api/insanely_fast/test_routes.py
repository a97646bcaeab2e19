"""Insanely Fast Whisper's routes: what its clients send, its answers by their keys, its errors."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import FormData

from asr.api.insanely_fast.answers import webhook_body
from asr.api.insanely_fast.schemas import CompletedTask, TaskProblem, TaskRequest
from asr.config.keys import parse_keys
from asr.engines.engine import WindowResult
from asr.http.app_keys import JOBS, SCHEDULER
from asr.options import SpeakerOptions
from asr.transcript import Segment, Word
from tests.conftest import PATIENCE_SECONDS, eventually, tone, wav
from tests.hardening.test_messages import ODD, assert_plain
from tests.support.spoken import dialogue, worded

CLIP = wav(tone(2.0))
URI = "data:audio/wav;base64," + base64.b64encode(CLIP).decode()
CHUNK = {"timestamp": [0.0, 2.0], "text": " 2.00 s"}
OUTPUT = {"text": " 2.00 s", "chunks": [CHUNK]}
PATHS = ["/", "/upload"]
HOOK = "http://127.0.0.1:9/hook"  # nobody answers there


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
        ({"url": "ftp://a/b"}, 400, "begin with http://"),
        ({"url": "http://127.0.0.1/a"}, 403, "127.0.0.1"),
        ({"url": "data:,x"}, 400, "decoded"),
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
        ({"url": URI, "webhook": "{broken"}, ["webhook"], "webhook", "a URL or a JSON object"),
        ({"url": URI, "webhook": "{" * 20_000}, ["webhook"], "webhook", "at most"),
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


async def test_the_checks_come_in_the_originals_order(make_client: Any) -> None:
    client = await make_client(diarizer="off")
    fields: dict[str, Any] = {"url": "x", "diarise_audio": True, "is_async": True}
    assert "Invalid URL" in (await refused(await client.post("/", json=fields)))[1]
    fields["url"] = URI
    assert "DIARIZER=off" in (await refused(await client.post("/", json=fields)))[1]
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


async def test_the_root_refuses_methods_and_unknown_paths_are_the_services_own(client: Any) -> None:
    assert (await refused(await client.put("/")))[0] == 405
    unknown = await client.get("/nothing")
    assert (unknown.status, list(json.loads(await unknown.text()))) == (404, ["error"])


@pytest.fixture
async def jobs_client(make_client: Any, tmp_path: Path) -> Any:
    """Return a client of an app that keeps jobs, and may reach private addresses."""
    return await make_client(jobs_dir=tmp_path / "jobs", allow_private_urls=True)


HELD: dict[str, Any] = {"url": URI, "is_async": True, "webhook": HOOK}


async def status_of(client: Any, task_id: str) -> dict[str, Any]:
    """Ask until the task has ended."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            answer = await (await client.get(f"/status/{task_id}")).json()
            if answer["status"] != "processing":
                return answer  # type: ignore[no-any-return]
            await asyncio.sleep(0.05)  # the store is polled: nothing tells of a job's end


async def test_a_task_in_the_background_is_listed_and_its_output_stays(
    jobs_client: Any, engine: Any
) -> None:
    engine.gate.clear()
    answer = await (await jobs_client.post("/", json=HELD)).json()
    task_id = answer["task_id"]
    assert answer == {
        "detail": "Task is being processed in the background",
        "status": "processing",
        "task_id": task_id,
    }
    assert await (await jobs_client.get("/tasks")).json() == {"tasks": [task_id]}
    assert await (await jobs_client.get(f"/status/{task_id}")).json() == {"status": "processing"}
    engine.gate.set()
    completed = {"status": "completed", "output": OUTPUT}
    assert await status_of(jobs_client, task_id) == completed
    assert await status_of(jobs_client, task_id) == completed
    assert await (await jobs_client.get("/tasks")).json() == {"tasks": []}
    late = await jobs_client.delete(f"/cancel/{task_id}")
    assert (late.status, await late.json()) == (200, completed)


async def test_a_file_is_kept_for_a_task(jobs_client: Any) -> None:
    data = form("file", is_async="true", webhook=json.dumps({"url": HOOK, "header": {"a": "b"}}))
    task_id = (await (await jobs_client.post("/upload", data=data)).json())["task_id"]
    assert (await status_of(jobs_client, task_id))["output"] == OUTPUT


async def test_a_cancelled_task_frees_the_engine_and_says_so(jobs_client: Any, engine: Any) -> None:
    engine.gate.clear()
    long = "data:audio/wav;base64," + base64.b64encode(wav(tone(90.0))).decode()
    sent = io.BytesIO(json.dumps({**HELD, "url": long}).encode())
    task_id = (await (await jobs_client.post("/", data=sent)).json())["task_id"]
    await eventually(lambda: engine.steps)
    response = await jobs_client.delete(f"/cancel/{task_id}")
    assert (response.status, await response.json()) == (200, {"status": "cancelled"})
    assert await (await jobs_client.get(f"/status/{task_id}")).json() == {"status": "cancelled"}
    assert await (await jobs_client.get("/tasks")).json() == {"tasks": []}
    engine.gate.set()
    await eventually(lambda: jobs_client.app[SCHEDULER].is_idle)
    assert await (await jobs_client.get(f"/status/{task_id}")).json() == {"status": "cancelled"}


async def test_a_task_that_fails_says_why(jobs_client: Any) -> None:
    answer = await jobs_client.post("/", json={**HELD, "url": "data:,x"})
    found = await status_of(jobs_client, (await answer.json())["task_id"])
    assert found["status"] == "error"
    assert "decoded" in found["error"]


@pytest.mark.parametrize("more", [{"webhook": HOOK}, {"managed_task_id": "mine-1"}])
async def test_a_request_that_can_be_asked_for_later_is_answered_and_kept(
    jobs_client: Any, more: dict[str, Any]
) -> None:
    answer = await completed(await jobs_client.post("/", json={"url": URI, **more}))
    assert answer.output.model_dump(mode="json") == OUTPUT
    assert answer.task_id == more.get("managed_task_id", answer.task_id)
    assert (await status_of(jobs_client, answer.task_id))["output"] == OUTPUT


async def test_a_waiting_request_that_fails_has_the_status_of_its_failure(
    jobs_client: Any, engine: Any
) -> None:
    bad = await jobs_client.post("/", json={"url": "data:,x", "managed_task_id": "a"})
    status, detail = await refused(bad)
    assert (status, "decoded" in detail) == (400, True)
    engine.transcribe = lambda window: WindowResult(window, error=ValueError("secret"))
    failed = await jobs_client.post("/", json={"url": URI, "managed_task_id": "b"})
    assert (await refused(failed))[0] == 500


async def test_a_request_that_waits_is_no_background_task_and_goes_on_without_its_caller(
    jobs_client: Any, engine: Any
) -> None:
    engine.gate.clear()
    sent = {"url": URI, "managed_task_id": "mine", "webhook": HOOK}
    waiting = asyncio.create_task(jobs_client.post("/", json=sent))
    await eventually(lambda: engine.steps)
    assert await (await jobs_client.get("/tasks")).json() == {"tasks": ["mine"]}
    status, detail = await refused(await jobs_client.delete("/cancel/mine"))
    assert (status, "Not a background task" in detail) == (400, True)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    engine.gate.set()
    assert (await status_of(jobs_client, "mine"))["output"] == OUTPUT
    again = await completed(await jobs_client.post("/", json=sent))
    assert again.task_id == "mine"


async def test_an_id_that_is_used_again_is_the_same_task_or_is_refused(
    jobs_client: Any, engine: Any
) -> None:
    sent = {**HELD, "managed_task_id": "mine"}
    first = await (await jobs_client.post("/", json=sent)).json()
    assert first["task_id"] == "mine"
    await status_of(jobs_client, "mine")
    again = await (await jobs_client.post("/", json=sent)).json()
    assert (again["status"], again["task_id"]) == ("completed", "mine")
    other = await jobs_client.post("/", json={**sent, "language": "es"})
    status, detail = await refused(other)
    assert (status, "'mine'" in detail) == (422, True)
    assert len(engine.steps) == 1
    assert (await status_of(jobs_client, "mine"))["output"] == OUTPUT


@pytest.mark.parametrize(
    ("fields", "status", "named"),
    [
        ({"managed_task_id": "a/b"}, 422, "id"),
        ({"webhook": "ftp://a.example/b"}, 400, "http"),
        ({"webhook": "http://me:secret@127.0.0.1/"}, 400, "user or password"),
        ({"webhook": {"url": HOOK, "header": {"a b": "c"}}}, 400, "header"),
        ({"language": "klingon"}, 400, "klingon"),
    ],
)
async def test_a_task_that_could_never_end_well_is_refused_at_once(
    jobs_client: Any, fields: dict[str, Any], status: int, named: str
) -> None:
    found, detail = await refused(await jobs_client.post("/", json={**HELD, **fields}))
    assert (found, named in detail) == (status, True), detail
    assert await (await jobs_client.get("/tasks")).json() == {"tasks": []}


@pytest.mark.parametrize(("method", "path"), [("GET", "/status/x"), ("DELETE", "/cancel/x")])
async def test_an_unknown_task_is_not_found(jobs_client: Any, method: str, path: str) -> None:
    status, detail = await refused(await jobs_client.request(method, path))
    assert (status, detail.startswith("Task not found")) == (404, True)


async def test_tasks_are_the_clients_own(make_client: Any, engine: Any, tmp_path: Path) -> None:
    client = await make_client(
        jobs_dir=tmp_path / "jobs", api_keys=parse_keys("a=k1,b=k2"), allow_private_urls=True
    )
    engine.gate.clear()
    first, second = {"x-admin-api-key": "k1"}, {"x-admin-api-key": "k2"}
    answer = await (await client.post("/", json=HELD, headers=first)).json()
    path = f"/status/{answer['task_id']}"
    assert (await client.get(path, headers=first)).status == 200
    assert (await client.get(path, headers=second)).status == 404
    assert await (await client.get("/tasks", headers=second)).json() == {"tasks": []}
    engine.gate.set()


async def test_on_fly_a_task_and_its_webhook_name_the_machine(
    make_client: Any, tmp_path: Path
) -> None:
    client = await make_client(
        jobs_dir=tmp_path / "jobs", allow_private_urls=True, fly_machine_id="d891"
    )
    answer = await (await client.post("/", json=HELD)).json()
    assert answer["fly_machine_id"] == "d891"
    await status_of(client, answer["task_id"])
    job = await client.app[JOBS].get(answer["task_id"], "", with_result=True)
    told = webhook_body(job, await client.app[JOBS].transcript(job))
    assert told == {**told, "output": OUTPUT, "status": "completed", "fly_machine_id": "d891"}
    assert told.keys() == {"output", "status", "task_id", "fly_machine_id"}


async def test_who_waits_for_a_task_that_is_cancelled_is_told(
    jobs_client: Any, engine: Any
) -> None:
    engine.gate.clear()
    sent = {"url": URI, "managed_task_id": "mine"}
    waiting = asyncio.create_task(jobs_client.post("/", json=sent))
    await eventually(lambda: engine.steps)
    await jobs_client.app[JOBS].cancel("mine", "")
    status, detail = await refused(await waiting)
    assert (status, detail) == (409, "the task was cancelled")
    engine.gate.set()


@pytest.mark.parametrize("name", TaskRequest.model_fields)
async def test_odd_values_of_every_field_are_refused_in_plain_words(
    jobs_client: Any, name: str
) -> None:
    for value in ODD:
        sent = io.BytesIO(json.dumps({**HELD, "url": "data:,x", name: value}).encode())
        response = await jobs_client.post("/", data=sent)
        assert response.status in {200, 400, 403, 422}, (value, await response.text())
        if response.status != 200:
            _, detail = await refused(response)
            messages = [detail] if isinstance(detail, str) else [each.msg for each in detail]
            for message in messages:
                if "cannot be decoded" not in message:  # the field is fine, the audio is not
                    assert_plain(message, value)


@pytest.fixture
def talk(engine: Any) -> str:
    """Two speakers of a second each, whose every word takes half of one."""
    engine.transcribe, engine.info = worded, replace(engine.info, has_words=True)
    return "data:audio/wav;base64," + base64.b64encode(wav(dialogue(1.0, 1.0))).decode()


PARTS = [(" w00 w01", [0.0, 1.0]), (" w02 w03", [1.0, 2.0])]
SPOKEN = [
    {"speaker": f"SPEAKER_0{n}", "timestamp": t, "text": text} for n, (text, t) in enumerate(PARTS)
]


async def test_diarise_audio_gives_the_originals_speakers(
    talk: str, client: Any, diarizer: Any
) -> None:
    asked = {"diarise_audio": True, "hf_token": "hf_x", "num_speakers": 2}
    response = await client.post("/", json={"url": talk, **asked})
    output = (await completed(response)).output
    assert output.model_dump(mode="json") == {
        "text": " w00 w01 w02 w03",
        "chunks": [{"timestamp": times, "text": text} for text, times in PARTS],
        "speakers": SPOKEN,
    }
    assert diarizer.begun == [SpeakerOptions(2)]
    words = await client.post("/", json={"url": talk, "diarise_audio": True, "timestamp": "word"})
    assert [each.speaker[-1] for each in (await completed(words)).output.speakers] == list("0011")


async def test_a_task_that_is_kept_has_the_speakers_too(talk: str, jobs_client: Any) -> None:
    asked = {"url": talk, "diarise_audio": True, "managed_task_id": "mine-2"}
    answer = await completed(await jobs_client.post("/", json=asked))
    assert answer.output.model_dump(mode="json")["speakers"] == SPOKEN
    assert (await status_of(jobs_client, "mine-2"))["output"]["speakers"] == SPOKEN


async def test_silence_has_no_speakers(client: Any) -> None:
    silence = "data:audio/wav;base64," + base64.b64encode(wav(np.zeros(16_000))).decode()
    response = await client.post("/", json={"url": silence, "diarise_audio": True})
    assert (await response.json())["output"]["speakers"] == []
