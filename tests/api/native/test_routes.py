"""The service's own routes: every door, the exact answers, the headers."""

import asyncio
import base64
import re
import threading
from dataclasses import replace

import numpy as np
import pytest
from aiohttp import FormData

from asr.engines.engine import WindowResult
from asr.formats.captions import words_of
from tests.conftest import eventually, tone, wav
from tests.support.sounds import stream

SPEECH = wav(tone(2.0))
ANSWER = {"text": " 2.00 s", "chunks": [{"timestamp": [0.0, 2.0], "text": " 2.00 s"}]}


async def test_countless_words_are_written_off_the_loop(make_client, engine, monkeypatch):
    threads = []

    def noted(segment):
        threads.append(threading.current_thread())
        return words_of(segment)

    monkeypatch.setattr("asr.api.asr_answer.words_of", noted)
    engine.info = replace(engine.info, has_words=True)
    client = await make_client()
    response = await client.post("/asr", data=SPEECH, params={"timestamps": "word"})
    assert response.status == 200
    assert threads
    assert threading.main_thread() not in threads


async def test_silence_is_an_empty_text(client):
    response = await client.post("/asr", data=wav(np.zeros(16_000, np.float32)))
    assert response.status == 200
    assert await response.json() == {"text": "", "chunks": []}
    assert response.headers["X-Audio-Length"] == "1.0"


async def test_the_answer_carries_the_headers_of_the_contract(make_client):
    client = await make_client(salad_machine_id="m-1")
    response = await client.post("/asr", data=SPEECH, headers={"X-Request-ID": "abc-1"})
    assert response.headers["X-Salad-Machine-ID"] == "m-1"
    assert response.headers["X-Salad-Container-Group-ID"] == ""
    assert response.headers["X-GPU-Name"] == "CUDA is not available"
    assert response.headers["X-Model-ID"] == "fake"
    assert response.headers["X-Request-ID"] == "abc-1"
    length = float(response.headers["X-Audio-Length"])
    elapsed = float(response.headers["X-Processing-Time"])
    assert length == 2.0
    factor = float(response.headers["X-Realtime-Factor"])
    assert length / factor == pytest.approx(elapsed, abs=1e-4)  # each with four decimals
    assert 0 <= float(response.headers["X-Queue-Time"]) <= elapsed


@pytest.mark.parametrize("path", ["/asr", "/v1/audio/transcriptions", "/detect-language"])
async def test_times_in_headers_have_four_decimals_and_no_exponent(client, path):
    form = FormData()
    form.add_field("file", SPEECH, filename="clip")
    headers = (await client.post(path, data=form)).headers
    assert "X-Processing-Time" in headers
    for name in ("X-Processing-Time", "X-Queue-Time", "X-Realtime-Factor"):
        assert re.fullmatch(r"\d+\.\d{4}", headers.get(name, "0.0000")), name


async def test_every_answer_has_a_request_id_and_a_bad_one_is_replaced(client):
    response = await client.get("/nowhere", headers={"X-Request-ID": "x" * 500})
    assert re.fullmatch(r"[^x]{1,128}", response.headers["X-Request-ID"])


async def test_unknown_keys_are_ignored_unless_strict(client):
    uri = "data:audio/wav;base64," + base64.b64encode(SPEECH).decode()
    loose = await client.post("/asr", json={"url": uri, "batch_size": 64})
    assert loose.status == 200
    strict = await client.post("/asr", json={"url": uri, "batch_size": 64, "strict": True})
    assert strict.status == 400
    assert "batch_size" in (await strict.json())["error"]


@pytest.mark.parametrize(
    ("request_", "status", "named"),
    [
        ({"data": b""}, 400, "empty"),
        ({"data": b"not audio at all"}, 400, "neither audio nor"),
        ({"data": b"not audio at all\0"}, 400, "decoded"),
        ({"data": b"{broken"}, 400, "not JSON"),
        ({"json": {}}, 422, "url"),
        ({"json": ["a"]}, 422, "not a JSON object"),
        ({"json": {"url": ["a", "b"]}}, 422, "url"),
        ({"json": {"url": ""}}, 422, "url"),
        ({"json": {"url": "ftp://host/a"}}, 400, "ftp"),
        ({"json": {"url": "/etc/passwd"}}, 403, "AUDIO_ROOT"),
        ({"data": SPEECH, "params": {"task": "sing"}}, 422, "task"),
        ({"data": SPEECH, "params": {"temperature": "hot"}}, 422, "temperature"),
        ({"data": SPEECH, "params": {"temperature": "nan"}}, 422, "temperature"),
        ({"data": SPEECH, "params": {"temperature": "1.5"}}, 422, "temperature"),
        ({"data": SPEECH, "params": {"language": "klingon"}}, 400, "klingon"),
        ({"data": SPEECH, "params": {"timestamps": "word"}}, 400, "word timestamps"),
    ],
)
async def test_a_bad_request_is_answered_with_cause_and_remedy(client, request_, status, named):
    response = await client.post("/asr", **request_)
    assert response.status == status
    body = await response.json()
    assert list(body) == ["error"]
    assert named in body["error"]


async def test_a_form_without_a_file_is_answered_with_what_to_send(client):
    form = FormData({"language": "en"}, default_to_multipart=True)
    response = await client.post("/asr", data=form)
    assert response.status == 400
    assert "'file'" in (await response.json())["error"]


async def test_a_body_over_the_limit_is_refused_with_both_figures(make_client):
    client = await make_client(max_body_mb=0.03125)
    for data in (SPEECH, stream(SPEECH)):
        response = await client.post("/asr", data=data)
        assert response.status == 413
        assert "MAX_BODY_MB=0.03125" in (await response.json())["error"]


async def test_a_full_queue_answers_429_with_retry_after(make_client, engine):
    client = await make_client(max_queue_seconds=30)
    engine.gate.clear()
    first = asyncio.create_task(client.post("/asr", data=wav(tone(30))))
    await eventually(lambda: engine.steps)
    response = await client.post("/asr", data=SPEECH)
    assert response.status == 429
    assert int(response.headers["Retry-After"]) >= 1
    milliseconds = int(response.headers["retry-after-ms"])
    assert 0 < milliseconds <= 1000 * int(response.headers["Retry-After"])
    engine.gate.set()
    assert (await first).status == 200


async def test_a_models_failure_is_a_500_without_its_innards(make_client, engine):
    engine.transcribe = lambda window: WindowResult(window, error=ValueError("secret"))
    client = await make_client()
    response = await client.post("/asr", data=SPEECH)
    assert response.status == 500
    assert "secret" not in await response.text()
