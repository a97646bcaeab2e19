"""The route of Deepgram's API: audio by any way, what is honoured, callbacks, failures."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import WSServerHandshakeError
from aiohttp.test_utils import make_mocked_request

from asr.api.deepgram.routes import ListenDoor
from asr.api.deepgram.schemas import Accepted, AnswerDetails, ListenAnswer, ListenProblem
from asr.api.deepgram.webhook import webhook_body
from asr.engines.engine import Window, WindowResult
from asr.http.app_keys import JOBS
from asr.jobs.job import Job, JobState
from tests.conftest import eventually, tone, wav
from tests.support.fake_engine import transcribed
from tests.support.forms import form
from tests.support.spoken import dialogue, worded
from tests.support.two_channels import two_channels

CLIP = wav(tone(2.0))
URI = "data:audio/wav;base64," + base64.b64encode(CLIP).decode()
HOOK = "http://127.0.0.1:9/hook"  # nobody answers there


async def answered(response: Any) -> dict[str, Any]:
    """Return the answer, which has what the document says and nothing else."""
    text = await response.text()
    assert response.status == 200, text
    ListenAnswer.model_validate_json(text, extra="forbid")
    found: dict[str, Any] = json.loads(text)
    return found


async def problem(response: Any) -> str:
    found = ListenProblem.model_validate_json(await response.text(), extra="forbid")
    assert found.request_id == response.headers["X-Request-ID"]
    return found.err_msg


def text_of(found: dict[str, Any]) -> str:
    return str(found["results"]["channels"][0]["alternatives"][0]["transcript"])


@pytest.mark.parametrize(
    "sent",
    [
        {"data": CLIP, "headers": {"Content-Type": "audio/wav"}},
        {"data": CLIP, "headers": {"Content-Type": "application/json"}},
        {"data": CLIP},
        {"json": {"url": URI}},
    ],
)
async def test_audio_comes_as_the_body_of_any_type_or_by_url(
    client: Any, sent: dict[str, Any]
) -> None:
    response = await client.post("/v1/listen?model=nova-3&tier=x&version=latest", **sent)
    found = await answered(response)
    assert text_of(found) == "2.00 s"
    metadata = found["metadata"]
    assert metadata["duration"] == 2.0
    assert metadata["sha256"] == hashlib.sha256(CLIP).hexdigest()
    assert metadata["request_id"] == response.headers["X-Request-ID"]
    assert metadata["request_id"] == response.headers["dg-request-id"]
    assert [metadata["model_info"][each]["name"] for each in metadata["models"]] == ["fake"]


async def test_bytes_that_are_not_all_needed_have_no_hash() -> None:
    """A decoder may stop before the end; how much has come by then is chance."""

    async def body() -> AsyncIterator[bytes]:
        yield CLIP[:1000]
        yield CLIP[1000:]

    details = AnswerDetails(created=0.0, model_id="fake", engine="fake")
    async with contextlib.AsyncExitStack() as stack:
        door = ListenDoor(make_mocked_request("POST", "/v1/listen"), stack, "")
        passing = await door.received(body())
        assert isinstance(passing, AsyncIterator)
        await anext(passing)
        assert door.with_hash(details).sha256 == ""
        assert len([data async for data in passing]) == 1
        assert door.with_hash(details).sha256 == hashlib.sha256(CLIP).hexdigest()


async def test_a_form_with_a_file_is_taken_too(client: Any) -> None:
    found = await answered(await client.post("/v1/listen", data=form(file=CLIP)))
    assert text_of(found) == "2.00 s"
    assert found["metadata"]["sha256"] == hashlib.sha256(CLIP).hexdigest()


@pytest.mark.parametrize("scheme", ["Token", "token", "Bearer"])
async def test_the_key_may_be_a_token(make_client: Any, scheme: str) -> None:
    client = await make_client(api_key="k")
    for key, status in (("k", 200), ("other", 401)):
        headers = {"Authorization": f"{scheme} {key}"}
        response = await client.post("/v1/listen", data=CLIP, headers=headers)
        assert response.status == status
    assert "API key" in await problem(response)
    assert json.loads(await response.text())["err_code"] == "INVALID_AUTH"


@pytest.mark.parametrize("first", [b"", b'{"', b"{}", b"plain text, again and again, " * 4])
async def test_raw_samples_are_read_as_the_query_says_whatever_they_begin_with(
    client: Any, first: bytes
) -> None:
    samples = first + np.zeros(16_000 - len(first) // 2, "<i2").tobytes()
    response = await client.post(
        "/v1/listen?encoding=linear16&sample_rate=8000",
        data=samples,
        headers={"Content-Type": "application/octet-stream"},
    )
    if first.startswith(b"plain"):
        assert response.status == 400
        assert "text" in await problem(response)
        return
    found = await answered(response)
    assert found["metadata"]["duration"] == 2.0
    assert found["metadata"]["sha256"] == hashlib.sha256(samples).hexdigest()


@pytest.mark.parametrize(
    ("query", "size"),
    [("encoding=mulaw", 16_000), ("encoding=alaw&sample_rate=16000&channels=2", 64_000)],
)
async def test_telephone_audio_has_its_own_rate(client: Any, query: str, size: int) -> None:
    found = await answered(await client.post(f"/v1/listen?{query}", data=bytes([213]) * size))
    assert found["metadata"]["duration"] == 2.0


async def test_a_file_and_a_url_are_read_as_what_they_are_whatever_the_encoding(
    client: Any,
) -> None:
    query = "encoding=linear16&sample_rate=8000"
    for sent in ({"data": CLIP}, {"json": {"url": URI}}):
        found = await answered(await client.post(f"/v1/listen?{query}", **sent))
        assert text_of(found) == "2.00 s"


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("encoding=linear16", "sample_rate=16000"),
        ("encoding=g729", "must be one of linear16"),
        ("encoding=linear16&sample_rate=1", "at least 1000"),
        ("diarize=perhaps", "diarize: must be true or false"),
        ("utt_split=-1", "utt_split: must be at least 0"),
        ("utt_split=nan", "utt_split: must be a finite number"),
        ("channels=9", "channels: must be at most 8"),
        ("callback_method=get", "must be one of post, put"),
        ("language=tlh", "'tlh'"),
        ("detect_language=tlh", "'tlh'"),
        ("extra=alone", "KEY:VALUE"),
        ("keyterm=" + 2049 * "a", "a name may have 200"),
        ("callback=ftp://example.com", "callback: 'ftp://example.com' is not an http or https URL"),
    ],
)
async def test_a_bad_value_is_refused_by_its_name(client: Any, query: str, named: str) -> None:
    response = await client.post(f"/v1/listen?{query}", data=CLIP)
    assert response.status == 400
    assert named in await problem(response)
    assert json.loads(await response.text())["err_code"] == "Bad Request"


async def test_other_failures_have_the_same_shape(make_client: Any, engine: Any) -> None:
    client = await make_client(max_queue_seconds=1.0, max_body_mb=1.0)
    for sent, status, code in (
        ({"data": b"no audio at all"}, 400, "Bad Request"),
        ({"data": b""}, 400, "Bad Request"),
        ({"json": {"ur": URI}}, 400, "Bad Request"),
        ({"json": {"url": "http://127.0.0.1/a"}}, 403, "INSUFFICIENT_PERMISSIONS"),
        ({"data": io.BytesIO(bytes(2**20 + 1))}, 413, "PAYLOAD_TOO_LARGE"),
    ):
        response = await client.post("/v1/listen", **sent)
        assert response.status == status
        assert await problem(response)
        assert json.loads(await response.text())["err_code"] == code
    assert (await client.get("/v1/listen")).status == 405
    engine.gate.clear()
    asking = asyncio.create_task(client.post("/v1/listen", data=CLIP))
    await eventually(lambda: engine.steps)
    response = await client.post("/v1/listen", data=CLIP)
    assert (response.status, "Retry-After" in response.headers) == (429, True)
    assert json.loads(await response.text())["err_code"] == "TOO_MANY_REQUESTS"
    response = await client.post(f"/v1/listen?callback={HOOK}", data=CLIP)
    assert response.status != 429, "a job waits in its own queue"
    engine.gate.set()
    await asking


async def test_openais_routes_keep_their_own_shape(client: Any) -> None:
    response = await client.post("/v1/audio/transcriptions", data=b"x")
    assert "message" in (await response.json())["error"]
    response = await client.post("/v1/listening", data=b"x")
    assert "message" in (await response.json())["error"]


async def test_what_has_no_effect_is_named_and_what_asks_for_nothing_is_not(client: Any) -> None:
    query = "redact=pci&redact=ssn&punctuate=false&callback_method=PUT&smart_format=false"
    query += "&topics=false&mip_opt_out=true&numerals=&sentiment=true&model=nova-3"
    response = await client.post(f"/v1/listen?{query}", data=CLIP)
    warnings = (await answered(response))["metadata"]["warnings"]
    named = {each["parameter"] for each in warnings}
    assert named == {"redact", "sentiment", "punctuate", "callback_method", "words"}
    assert "redact has no effect here" in response.headers["X-Warnings"]


async def test_terms_are_known_and_their_intensifiers_are_not(
    make_client: Any, engine: Any
) -> None:
    engine.info = replace(engine.info, can_prompt=True)
    client = await make_client()
    query = "keyterm=Lima&keyterm=Cape%20Town&keywords=Rome:2&keywords=a:b&keywords=Bonn:-1.5"
    response = await client.post(f"/v1/listen?{query}", data=CLIP)
    warnings = (await answered(response))["metadata"]["warnings"]
    [[window]] = engine.steps
    assert window.options.vocabulary == ("Lima", "Cape Town", "Rome", "a:b")
    assert window.options.prompt is None
    assert "cannot suppress 'Bonn'" in warnings[-1]["message"]


async def test_terms_that_the_model_cannot_know_are_named(client: Any) -> None:
    response = await client.post("/v1/listen?keyterm=Lima", data=CLIP)
    assert "keyterm has no effect: the model fake" in response.headers["X-Warnings"]


@pytest.mark.parametrize(
    ("query", "language", "allowed", "told"),
    [
        ("", None, (), None),
        ("language=en-US", "en", (), None),
        ("language=es&detect_language=false", "es", (), None),
        ("language=multi", None, (), None),
        ("detect_language=true", None, (), "en"),
        ("language=es&detect_language=true", None, (), "en"),
        ("detect_language=en&detect_language=es", None, ("en", "es"), "en"),
    ],
)
async def test_the_language_is_that_of_the_query_or_it_is_detected(
    client: Any,
    engine: Any,
    query: str,
    language: str | None,
    allowed: tuple[str, ...],
    told: str | None,
) -> None:
    found = await answered(await client.post(f"/v1/listen?{query}", data=CLIP))
    [[window]] = engine.steps
    assert (window.options.language, window.options.languages) == (language, allowed)
    [channel] = found["results"]["channels"]
    assert channel.get("detected_language") == told
    is_multilingual = "multi" in query
    assert channel["alternatives"][0].get("languages") == (["en"] if is_multilingual else None)


async def test_a_detected_language_is_told_with_its_probability(client: Any, engine: Any) -> None:
    def detected(window: Window) -> WindowResult:
        result = transcribed(window)
        if window.options.language is not None:
            return result
        return replace(result, language="es", probabilities={"es": 0.75, "en": 0.25})

    engine.transcribe = detected
    query = "detect_language=true&multichannel=true"
    low_and_high = wav(two_channels(2.0))
    mono = await answered(await client.post("/v1/listen?detect_language=true", data=CLIP))
    split = await answered(await client.post(f"/v1/listen?{query}", data=low_and_high))
    for channel in (*mono["results"]["channels"], *split["results"]["channels"]):
        assert (channel["detected_language"], channel["language_confidence"]) == ("es", 0.75)
    assert len(split["results"]["channels"]) == 2


async def test_a_language_that_is_not_detected_has_no_probability(make_client: Any) -> None:
    client = await make_client(language_force="es")
    found = await answered(await client.post("/v1/listen?detect_language=true", data=CLIP))
    [channel] = found["results"]["channels"]
    assert channel["detected_language"] == "es"
    assert "language_confidence" not in channel


async def test_words_have_their_times_and_speakers(make_client: Any, engine: Any) -> None:
    engine.transcribe, engine.info = worded, replace(engine.info, has_words=True)
    client = await make_client()
    talk = wav(dialogue(1.0, 1.0))
    for query in ("diarize=true", "diarize_model=latest"):
        query += "&utterances=true&paragraphs=true"
        found = await answered(await client.post(f"/v1/listen?{query}", data=talk))
        [alternative] = found["results"]["channels"][0]["alternatives"]
        words = alternative["words"]
        assert [(each["punctuated_word"], each["speaker"]) for each in words] == [
            ("w00", 0),
            ("w01", 0),
            ("w02", 1),
            ("w03", 1),
        ]
        assert [(each["start"], each["end"]) for each in words[:2]] == [(0.0, 0.5), (0.5, 1.0)]
        said = [(each["transcript"], each["speaker"]) for each in found["results"]["utterances"]]
        assert said == [("w00 w01", 0), ("w02 w03", 1)]
        told = alternative["paragraphs"]["transcript"]
        assert told == "\nSpeaker 0: w00 w01\n\nSpeaker 1: w02 w03"
        assert "warnings" not in found["metadata"]
    plain = await answered(await client.post("/v1/listen", data=talk))
    assert "speaker" not in str(plain)
    assert "utterances" not in plain["results"]


async def test_a_server_without_times_or_diarizer_says_so(make_client: Any, engine: Any) -> None:
    engine.info = replace(engine.info, has_words=True)
    client = await make_client(diarizer="off", timestamps="none")
    response = await client.post("/v1/listen", data=CLIP)
    assert "words have estimated times" in response.headers["X-Warnings"]
    assert text_of(await answered(response)) == "2.00 s"
    response = await client.post("/v1/listen?diarize=true", data=CLIP)
    assert (response.status, "DIARIZER=off" in await problem(response)) == (400, True)


async def test_silence_has_no_words(client: Any, engine: Any) -> None:
    engine.transcribe = lambda window: worded(replace(window, samples=window.samples[:0]))
    query = "paragraphs=true&utterances=true"
    found = await answered(await client.post(f"/v1/listen?{query}", data=wav(np.zeros(8000))))
    [alternative] = found["results"]["channels"][0]["alternatives"]
    assert (alternative["transcript"], alternative["confidence"], alternative["words"]) == (
        "",
        0.0,
        [],
    )
    assert alternative["paragraphs"] == {"transcript": "", "paragraphs": []}
    assert found["results"]["utterances"] == []


@pytest.fixture
async def jobs_client(make_client: Any, tmp_path: Path) -> Any:
    """Return a client of an app that keeps jobs, and may reach private addresses."""
    return await make_client(jobs_dir=tmp_path / "jobs", allow_private_urls=True)


async def ended(client: Any, request_id: str) -> tuple[Job, dict[str, Any]]:
    """Wait for a job; return it, and what its callback is told."""
    jobs = client.app[JOBS]
    await jobs.wait(request_id, "")
    job = await jobs.get(request_id, "", with_result=True)
    transcript = await jobs.transcript(job) if job.state is JobState.COMPLETED else None
    return job, json.loads(json.dumps(webhook_body(job, transcript)))


async def submitted(client: Any, query: str, **sent: Any) -> str:
    response = await client.post(f"/v1/listen?{query}", **sent)
    assert response.status == 200, await response.text()
    found = Accepted.model_validate_json(await response.text(), extra="forbid")
    assert response.headers["dg-request-id"] == found.request_id
    return found.request_id


async def test_a_callback_is_told_the_answer_that_the_caller_would_get(jobs_client: Any) -> None:
    query = "utterances=true&paragraphs=true&tag=a&extra=k:v:w&redact=pci&detect_language=true"
    request_id = await submitted(jobs_client, f"{query}&callback={HOOK}", data=CLIP)
    job, told = await ended(jobs_client, request_id)
    ListenAnswer.model_validate(told, extra="forbid")
    direct = await answered(await jobs_client.post(f"/v1/listen?{query}", data=CLIP))
    assert told["metadata"].pop("request_id") == request_id
    assert told["metadata"].pop("created") <= direct["metadata"].pop("created")
    del direct["metadata"]["request_id"]
    for results in (told["results"], direct["results"]):
        assert results["utterances"][0].pop("id")
    assert told == direct
    assert told["metadata"]["extra"] == {"k": "v:w"}
    assert told["metadata"]["tags"] == ["a"]
    assert job.request["webhook"]["url"] == HOOK  # type: ignore[index]


async def test_a_user_in_the_callbacks_url_becomes_a_header(jobs_client: Any) -> None:
    hook = HOOK.replace("//", "//me:p%40ss@")
    request_id = await submitted(jobs_client, f"callback={hook}", json={"url": URI})
    job, _ = await ended(jobs_client, request_id)
    webhook: Any = job.request["webhook"]
    token = base64.b64encode(b"me:p%40ss" if "%" in webhook["url"] else b"me:p@ss").decode()
    assert (webhook["url"], webhook["headers"]) == (HOOK, {"Authorization": f"Basic {token}"})


async def test_raw_samples_are_kept_for_a_job_as_what_they_are(jobs_client: Any) -> None:
    query = f"encoding=linear16&sample_rate=8000&callback={HOOK}"
    request_id = await submitted(jobs_client, query, data=bytes(32_000))
    _, told = await ended(jobs_client, request_id)
    assert told["metadata"]["duration"] == 2.0
    assert told["metadata"]["sha256"] == hashlib.sha256(bytes(32_000)).hexdigest()


async def test_a_callback_is_told_why_there_is_no_answer(jobs_client: Any) -> None:
    query = f"callback={HOOK}"
    request_id = await submitted(jobs_client, query, json={"url": "data:,x"})
    _, told = await ended(jobs_client, request_id)
    found = ListenProblem.model_validate(told, extra="forbid")
    assert (found.err_code, found.request_id) == ("Bad Request", request_id)
    assert "decoded" in found.err_msg


async def test_a_websocket_is_told_where_live_audio_goes(client: Any) -> None:
    with pytest.raises(WSServerHandshakeError) as caught:
        await client.ws_connect("/v1/listen?model=nova-3&interim_results=true")
    assert caught.value.status == 400
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
    }
    response = await client.get("/v1/listen", headers=handshake)
    assert "connect to the WebSocket /v1/realtime" in await problem(response)


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_what_is_no_recording_and_no_websocket_has_the_wrong_method(
    client: Any, method: str
) -> None:
    response = await client.request(method, "/v1/listen")
    assert response.status == 405
    assert "POST" in response.headers["Allow"]
    assert "use " in await problem(response)
