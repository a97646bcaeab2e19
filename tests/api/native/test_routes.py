"""The service's own routes: every door, the exact answers, the headers."""

import asyncio
import base64
import json
import re
import threading
from dataclasses import replace

import numpy as np
import pytest
from aiohttp import FormData

from asr.engines.engine import WindowResult
from asr.formats.captions import words_of
from asr.options import SpeakerOptions
from tests.conftest import eventually, tone, wav
from tests.support.sounds import stream
from tests.support.spoken import dialogue, worded

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


def sent(*fields, part="file", **named):
    """Return a form with its file last."""
    form = FormData(fields, default_to_multipart=True)
    form.add_field(part, SPEECH, filename="a.wav")
    return {"data": form, **named}


URI = "data:audio/wav;base64," + base64.b64encode(SPEECH).decode()
WRITTEN = '{"text":" 2.00 s","chunks":[{"timestamp":[0.0,2.0],"text":" 2.00 s"}]}'
BY_LETTER = {
    "bytes": ({"data": SPEECH}, 200, WRITTEN),
    "bytes with a name of another dialect": (
        {"data": SPEECH, "params": {"output": "srt", "encode": "false"}},
        200,
        WRITTEN,
    ),
    "JSON": ({"json": {"url": URI, "output": "srt"}}, 200, WRITTEN),
    "JSON with such a query": (
        {"json": {"url": URI}, "params": {"word_timestamps": "1"}},
        200,
        WRITTEN,
    ),
    "a form": (sent(("task", "transcribe")), 200, WRITTEN),
    "a form with a field of another dialect": (sent(("output", "srt")), 200, WRITTEN),
    "a form with a text of that name": (sent(("audio_file", "a.wav")), 200, WRITTEN),
    "a form with a URL": ({"data": {"url": URI}}, 200, WRITTEN),
    "no body": ({}, 400, None),
    "a form without a file": (
        {"data": FormData({"task": "transcribe"}, default_to_multipart=True)},
        400,
        "{\"error\": \"the form has no file: send the audio as the part 'file', or a 'url'\"}",
    ),
    "a wrong value": (
        {"data": SPEECH, "params": {"task": "x"}},
        422,
        '{"error": "task: must be one of transcribe, translate; see /docs for what is accepted"}',
    ),
}


@pytest.mark.parametrize("case", BY_LETTER)
async def test_answers_and_failures_stay_as_they_are_by_letter(client, case):
    asked, status, text = BY_LETTER[case]
    response = await client.post("/asr", **asked)
    assert response.status == status
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    assert "Asr-Engine" not in response.headers
    if text is None:
        assert (await response.json()).keys() == {"error"}
    else:
        assert await response.text() == text


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


TALK = wav(dialogue(1.0, 1.0))
SPOKEN = [
    {"timestamp": [0.0, 1.0], "text": " w00 w01", "speaker": "SPEAKER_00"},
    {"timestamp": [1.0, 2.0], "text": " w02 w03", "speaker": "SPEAKER_01"},
]


@pytest.fixture
def talking(engine):
    engine.transcribe, engine.info = worded, replace(engine.info, has_words=True)


def talk_form(**fields):
    form = FormData(fields, default_to_multipart=True)
    form.add_field("file", TALK, filename="talk.wav")
    return form


@pytest.mark.usefixtures("talking")
async def test_with_diarize_each_chunk_has_its_speaker_by_every_door(client, diarizer):
    uri = "data:audio/wav;base64," + base64.b64encode(TALK).decode()
    asked = {"diarize": "true", "min_speakers": "2"}
    for request in (
        {"data": TALK, "params": asked},
        {"data": talk_form(**asked)},
        {"json": {"url": uri, "diarize": True, "min_speakers": 2}},
    ):
        response = await client.post("/asr", **request)
        assert (response.status, await response.json()) == (
            200,
            {"text": " w00 w01 w02 w03", "chunks": SPOKEN},
        )
    assert diarizer.begun == [SpeakerOptions(None, 2)] * 3


@pytest.mark.usefixtures("talking")
async def test_words_have_the_speaker_of_their_segment(client):
    params = {"diarize": "1", "timestamps": "word"}
    chunks = (await (await client.post("/asr", data=TALK, params=params)).json())["chunks"]
    assert [chunk["speaker"][-1] for chunk in chunks] == list("0011")


@pytest.mark.usefixtures("talking")
async def test_a_streams_segments_have_their_speakers_at_its_end(client):
    response = await client.post("/asr", data=TALK, params={"diarize": "true", "stream": "true"})
    sent = [json.loads(line) for line in (await response.text()).splitlines()]
    kinds = [event["type"].removeprefix("transcript.text.") for event in sent]
    assert kinds == ["delta", "segment", "segment", "done"]
    assert [event["speaker"] for event in sent[1:3]] == ["SPEAKER_00", "SPEAKER_01"]
    assert (sent[0]["delta"], sent[-1]["duration"]) == (" w00 w01 w02 w03", 2.0)


async def test_silence_has_no_speakers_and_no_error(client):
    silence = wav(np.zeros(16_000, np.float32))
    response = await client.post("/asr", data=silence, params={"diarize": "true"})
    assert await response.json() == {"text": "", "chunks": []}


async def test_numbers_of_speakers_without_diarize_are_a_warning_or_a_400(client, diarizer):
    response = await client.post("/asr", data=SPEECH, params={"num_speakers": "2"})
    assert await response.json() == ANSWER
    assert response.headers["X-Warnings"] == "num_speakers has no effect without diarize=true"
    params = {"num_speakers": "2", "strict": "true"}
    assert (await client.post("/asr", data=SPEECH, params=params)).status == 400
    assert diarizer.begun == []


@pytest.mark.parametrize(
    ("asked", "status", "named"),
    [
        ({"num_speakers": "51"}, 422, "at most 50"),
        ({"min_speakers": "3", "max_speakers": "2"}, 400, "min_speakers"),
        ({"num_speakers": "1", "min_speakers": "2"}, 400, "num_speakers"),
    ],
)
@pytest.mark.parametrize("stream", ["true", "false"])
async def test_impossible_numbers_of_speakers_are_refused(client, asked, status, named, stream):
    params = {"diarize": "true", "stream": stream, **asked}
    response = await client.post("/asr", data=SPEECH, params=params)
    assert response.status == status
    assert named in (await response.json())["error"]


async def test_without_a_diarizer_the_setting_is_named(make_client):
    client = await make_client(diarizer="off")
    response = await client.post("/asr", data=SPEECH, params={"diarize": "true"})
    assert response.status == 400
    assert "DIARIZER=off" in (await response.json())["error"]
