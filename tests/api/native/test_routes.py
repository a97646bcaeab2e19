"""The service's own routes: every door, the exact answers, the headers."""

import asyncio
import base64
import json
import re
import threading
from dataclasses import replace

import numpy as np
import pytest
from aiohttp import FormData, web

import asr
from asr.engines.engine import WindowResult
from asr.formats.captions import words_of
from tests.conftest import eventually, tone, wav
from tests.support.sounds import stream

SPEECH = wav(tone(2.0))
ANSWER = {"text": " 2.00 s", "chunks": [{"timestamp": [0.0, 2.0], "text": " 2.00 s"}]}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "application/octet-stream"},
        {"Content-Type": "audio/mpeg"},
        {"Content-Type": "application/x-www-form-urlencoded"},  # what curl --data-binary sends
        {"Content-Type": "text/plain; charset=utf-8"},
    ],
)
async def test_raw_bytes_are_audio_whatever_their_content_type(client, headers):
    response = await client.post("/asr", data=SPEECH, headers=headers)
    assert response.status == 200
    assert await response.json() == ANSWER


async def test_a_body_without_a_length_is_audio(client):
    response = await client.post("/asr", data=stream(SPEECH))
    assert await response.json() == ANSWER


async def test_countless_words_are_written_off_the_loop(make_client, engine, monkeypatch):
    threads = []

    def noted(segment):
        threads.append(threading.current_thread())
        return words_of(segment)

    monkeypatch.setattr("asr.api.native.routes.words_of", noted)
    engine.info = replace(engine.info, has_words=True)
    client = await make_client()
    response = await client.post("/asr", data=SPEECH, params={"timestamps": "word"})
    assert response.status == 200
    assert threads
    assert threading.main_thread() not in threads


async def test_a_multipart_file_is_audio_and_its_fields_are_options(client, engine):
    form = FormData({"language": "es"})
    form.add_field("file", SPEECH, filename="clip")
    form.add_field("task", "translate")
    response = await client.post("/asr", data=form)
    assert await response.json() == ANSWER
    [[window]] = engine.steps
    assert (window.options.language, window.options.task) == ("es", "translate")


async def test_a_json_body_names_the_audio_whatever_its_content_type(make_client, tmp_path):
    (tmp_path / "clip.wav").write_bytes(SPEECH)
    client = await make_client(audio_root=tmp_path)
    body = json.dumps({"url": str(tmp_path / "clip.wav")}).encode()
    for content_type in ("application/json", "application/octet-stream", "text/plain"):
        headers = {"Content-Type": content_type}
        response = await client.post("/asr", data=b"\n " + body, headers=headers)
        assert await response.json() == ANSWER, content_type


async def test_a_path_may_be_relative_to_the_root(make_client, tmp_path):
    (tmp_path / "clip.wav").write_bytes(SPEECH)
    client = await make_client(audio_root=tmp_path)
    response = await client.post("/asr", json={"url": "clip.wav"})
    assert await response.json() == ANSWER


async def test_a_data_uri_carries_its_audio(client):
    uri = "data:audio/wav;base64," + base64.b64encode(SPEECH).decode()
    assert await (await client.post("/asr", json={"url": uri})).json() == ANSWER


async def test_a_url_is_fetched(make_client, aiohttp_server):
    async def audio(_):
        return web.Response(body=SPEECH)

    app = web.Application()
    app.router.add_get("/clip", audio)
    origin = await aiohttp_server(app)
    client = await make_client(allow_private_urls=True)
    url = str(origin.make_url("/clip"))
    for request in ({"json": {"url": url}}, {"params": {"url": url}}, {"data": {"url": url}}):
        assert await (await client.post("/asr", **request)).json() == ANSWER


async def test_the_query_holds_options_for_raw_bytes(client, engine):
    params = {"language": "Spanish", "temperature": "0.5", "timestamps": "none"}
    response = await client.post("/asr", data=SPEECH, params=params)
    assert await response.json() == {"text": " 2.00 s", "chunks": []}
    [[window]] = engine.steps
    assert (window.options.language, window.options.temperature) == ("es", 0.5)


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


async def test_a_form_without_a_file_is_told_what_to_send(client):
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
    engine.gate.set()
    assert (await first).status == 200


async def test_a_models_failure_is_a_500_without_its_innards(make_client, engine):
    engine.hear = lambda window: WindowResult(window, error=ValueError("secret"))
    client = await make_client()
    response = await client.post("/asr", data=SPEECH)
    assert response.status == 500
    assert "secret" not in await response.text()


async def test_hc_says_ok_with_the_version(client):
    response = await client.get("/hc")
    assert response.status == 200
    assert await response.json() == {"status": "ok", "version": asr.__version__}


async def test_hc_tells_what_runs_when_asked(client):
    answer = await (await client.get("/hc?verbose=1")).json()
    assert answer["engine"]["model_id"] == "fake"
    assert answer["engine"]["languages"] == {"en": "english", "es": "spanish"}


async def test_health_is_empty(client):
    for method in ("get", "head"):
        response = await getattr(client, method)("/health")
        assert response.status == 200
        assert await response.read() == b""


async def test_a_dead_engine_turns_every_health_route_to_503(client, engine):
    def end(_):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    engine.hear = end
    assert (await client.post("/asr", data=SPEECH)).status == 503
    response = await client.get("/hc")
    assert response.status == 503
    assert "illegal memory access" in (await response.json())["error"]
    assert (await client.get("/health")).status == 503
    assert (await client.post("/asr", data=SPEECH)).status == 503


async def test_metrics_count_what_happened(client):
    await client.post("/asr", data=SPEECH)
    await client.post("/asr", data=b"")
    await client.get("/asr")
    await client.post("/v1/models/fake")
    await client.get("/nowhere")
    text = await (await client.get("/metrics")).text()
    assert 'asr_requests_total{route="/asr",status="200"} 1.0' in text
    assert 'asr_requests_total{route="/asr",status="400"} 1.0' in text
    assert 'asr_requests_total{route="/asr",status="405"} 1.0' in text
    assert 'asr_requests_total{route="/v1/models/{id}",status="405"} 1.0' in text
    assert 'asr_requests_total{route="unknown",status="404"} 1.0' in text
    assert "asr_audio_seconds_total 2.0" in text
    assert "asr_queue_audio_seconds 0.0" in text
    assert "asr_engine_up 1.0" in text
    assert "asr_engine_capacity_windows 4.0" in text
    for stage in ("fetch", "decode", "queue", "model"):
        assert f'asr_stage_seconds_count{{stage="{stage}"}} 1.0' in text
