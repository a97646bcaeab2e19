"""OpenAI's routes: forms in any order, answers whole and streamed, failures."""

import asyncio
from dataclasses import replace

import pytest
from aiohttp import FormData

from asr.api.openai.schemas import TextAnswer, VerboseAnswer
from asr.engines.engine import WindowResult
from asr.http import app_keys
from asr.transcript import Segment
from tests.conftest import eventually, tone, wav
from tests.support.forms import CLIP, PATH, events, form, problem, refused, slow_form, transcribe

FILE_NAMES = {"file": "a.wav", "url": None}
PREFIXES = ["/v1", "/api/v1"]


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_both_prefixes_serve_every_route(client, prefix):
    for noun in ("transcriptions", "translations"):
        response = await transcribe(client, path=f"{prefix}/audio/{noun}")
        answer = TextAnswer.model_validate_json(await response.text(), extra="forbid")
        assert (answer.text, answer.usage.seconds) == ("1.00 s", 1)
    assert (await (await client.get(f"{prefix}/models")).json())["data"][0]["id"] == "fake"
    assert (await client.get(f"{prefix}/models/fake")).status == 200


async def test_the_answer_carries_the_headers_of_the_service(client):
    response = await transcribe(client)
    assert response.headers["X-Audio-Length"] == "1.0"
    assert {"X-Request-ID", "X-Model-ID", "X-Processing-Time"} <= response.headers.keys()
    assert "X-Warnings" not in response.headers


async def test_a_file_without_a_content_type_or_an_extension_may_come_before_the_fields(client):
    body = b"".join(
        [
            b'--b\r\nContent-Disposition: form-data; name="file"; filename=""\r\n\r\n',
            CLIP,
            b'\r\n--b\r\nContent-Disposition: form-data; name="response_format"\r\n\r\ntext',
            b"\r\n--b--\r\n",
        ]
    )
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    response = await client.post(PATH, data=body, headers=headers)
    assert (response.status, await response.text()) == (200, "1.00 s")


async def test_a_url_may_stand_for_the_file(make_client, tmp_path):
    (tmp_path / "clip.wav").write_bytes(CLIP)
    client = await make_client(audio_root=tmp_path)
    response = await transcribe(client, file=None, url="clip.wav")
    assert (await response.json())["text"] == "1.00 s"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_url_beside_the_file_is_refused(client, streamed):
    for names in (("url", "file"), ("file", "url")):
        data = FormData()
        if streamed:
            data.add_field("stream", "true")
        for name in names:
            data.add_field(name, CLIP if name == "file" else "clip.wav", filename=FILE_NAMES[name])
        response = await client.post(PATH, data=data)
        assert "and a 'url' beside it" in await response.text()
        assert response.status == 400 or (streamed and names[0] == "file")


async def test_a_fields_odd_name_does_not_reach_the_header(client):
    part = '--b\r\nContent-Disposition: form-data; name="naïve"\r\n\r\nx\r\n'.encode()
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    response = await client.post(PATH, data=part + head + CLIP + b"\r\n--b--", headers=headers)
    assert response.status == 200
    assert response.headers["X-Warnings"] == "na?ve has no effect here: leave it out"


async def test_a_form_without_a_file_is_answered_with_what_to_send(client):
    status, found = await refused(client, file=None, model="m")
    assert (status, found.param) == (400, "file")
    response = await client.post(PATH, json={"file": "x"})
    assert (response.status, (await problem(response)).code) == (415, "unsupported_media")
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    response = await client.post(PATH, data=b"no form", headers=headers)
    assert (response.status, (await problem(response)).code) == (400, "bad_request")


async def test_every_failure_under_the_prefixes_is_an_error_object(make_client, engine):
    client = await make_client(api_key="k", max_body_mb=0.1)
    for prefix in PREFIXES:
        key = {"Authorization": "Bearer k"}
        response = await client.get(prefix + "/models")
        assert (response.status, (await problem(response)).code) == (401, "invalid_api_key")
        assert response.headers["WWW-Authenticate"] == "Bearer"
        response = await client.get(prefix + "/nowhere", headers=key)
        assert (response.status, (await problem(response)).code) == (404, "unknown_url")
        response = await client.get(prefix + "/audio/translations", headers=key)
        assert (response.status, (await problem(response)).code) == (405, "method_not_allowed")
        assert response.headers["Allow"] == "POST"
        path = prefix + "/audio/transcriptions"
        response = await client.post(path, data=form(file=bytes(200_000)), headers=key)
        assert (response.status, (await problem(response)).code) == (413, "too_large")
    engine.transcribe = lambda window: WindowResult(window, error=ValueError("secret"))
    response = await client.post(PATH, data=form(), headers=key)
    found = await problem(response)
    assert (response.status, found.type) == (500, "server_error")
    assert "secret" not in found.message


async def test_too_long_audio_is_refused_with_both_figures(make_client):
    client = await make_client(max_audio_seconds=2.0)
    status, found = await refused(client, file=wav(tone(3.0)))
    assert (status, found.code) == (413, "too_large")
    assert "3 s" in found.message
    assert "MAX_AUDIO_SECONDS=2" in found.message


async def test_a_full_queue_is_a_rate_limit_error_with_retry_after(make_client, engine):
    client = await make_client(max_queue_seconds=1.0)
    engine.gate.clear()
    first = asyncio.create_task(client.post(PATH, data=form()))
    await eventually(lambda: engine.steps)
    response = await client.post(PATH, data=form(stream="true"))
    assert (response.status, (await problem(response)).type) == (429, "rate_limit_error")
    assert int(response.headers["Retry-After"]) >= 1
    engine.gate.set()
    assert (await first).status == 200


async def test_verbose_json_of_silence_has_no_segments_and_an_unknown_language(client):
    response = await transcribe(client, file=wav(0 * tone(1.0)), response_format="verbose_json")
    answer = VerboseAnswer.model_validate_json(await response.text(), extra="forbid")
    assert (answer.text, answer.segments, answer.language) == ("", [], "unknown")
    for response_format, empty in [("text", ""), ("srt", ""), ("lrc", ""), ("vtt", "WEBVTT\n\n")]:
        silence = await transcribe(client, file=wav(0 * tone(1.0)), response_format=response_format)
        assert await silence.text() == empty


async def test_verbose_json_says_when_the_engine_does_not_know_its_probabilities(client, engine):
    response = await transcribe(client, response_format="verbose_json")
    assert "avg_logprob" in (await response.json())["warnings"][0]
    known = Segment(0.0, 1.0, " a", avg_logprob=-0.1, no_speech_prob=0.2)
    engine.transcribe = lambda window: WindowResult(window, (known,), "es")
    answer = await (await transcribe(client, response_format="verbose_json")).json()
    assert "warnings" not in answer
    assert answer["language"] == "spanish"


async def test_the_layout_of_subtitles_is_the_callers(client, engine):
    text = " " + " ".join(["word"] * 12)
    engine.transcribe = lambda window: WindowResult(window, (Segment(0.0, 1.0, text),), "en")
    narrow = {"response_format": "srt", "max_line_width": "10", "max_line_count": "1"}
    answer = await (await transcribe(client, **narrow)).text()
    assert answer.count(" --> ") == 6
    assert answer.count("word word\n") == 6


async def test_a_stream_tells_each_window_when_it_is_transcribed(make_client, engine):
    client = await make_client(chunk_length_s=2.0)
    response = await transcribe(client, file=wav(tone(7.0)), stream="true", flavour="sweet")
    assert response.content_type == "text/event-stream"
    assert "flavour" in response.headers["X-Warnings"]
    delivered = await events(response)
    kinds = [event["type"].removeprefix("transcript.text.") for event in delivered]
    windows = sum(len(step) for step in engine.steps)
    assert kinds == ["delta", "segment"] * windows + ["done"]
    assert [e["id"] for e in delivered if "id" in e] == [f"seg_{n}" for n in range(windows)]
    whole = await (await transcribe(client, file=wav(tone(7.0)))).json()
    assert (
        "".join(event.get("delta", "") for event in delivered)
        == delivered[-1]["text"]
        == whole["text"]
    )
    starts = [event["start"] for event in delivered if "start" in event]
    assert starts == sorted(starts)


async def test_a_stream_beats_while_the_engine_is_busy(make_client, engine):
    client = await make_client(stream_heartbeat_s=0.02)
    engine.gate.clear()
    response = await transcribe(client, stream="true")  # answered before anything is transcribed
    assert (await response.content.readline()).startswith(b":")
    assert await response.content.readline() == b"\n"
    assert (await response.content.readline()).startswith(b":")
    engine.gate.set()
    assert (await events(response))[-1] == {"type": "transcript.text.done", "text": "1.00 s"}


async def test_a_failure_amid_a_stream_is_its_last_event(make_client, engine):
    client = await make_client(stream_heartbeat_s=0.02)
    engine.gate.clear()
    engine.transcribe = lambda window: WindowResult(window, error=ValueError("secret"))
    response = await transcribe(client, stream="true")
    engine.gate.set()
    last = (await events(response))[-1]
    assert last["error"].keys() == {"message", "type", "param", "code"}
    assert last["error"]["code"] == "transcription_failed"


async def test_a_stream_of_verbose_json_ends_with_language_and_duration(client):
    response = await transcribe(client, stream="true", response_format="verbose_json")
    assert (await events(response))[-1] == {
        "type": "transcript.text.done",
        "text": "1.00 s",
        "language": "english",
        "duration": 1.0,
    }


async def test_a_caller_who_leaves_a_stream_is_not_transcribed(make_client, engine):
    engine.info = replace(engine.info, device_name="a card")  # nothing waits for the first window
    engine.capacity = 1
    client = await make_client(chunk_length_s=2.0, stream_heartbeat_s=0.02)
    engine.gate.clear()
    response = await transcribe(client, file=wav(tone(30.0)), stream="true", language="en")
    await eventually(lambda: engine.steps and client.app[app_keys.SCHEDULER]._waiting)
    response.close()
    registry = client.app[app_keys.METRICS].registry
    await eventually(lambda: registry.get_sample_value("asr_queue_audio_seconds") == 0)
    engine.gate.set()
    await transcribe(client)
    assert sum(map(len, engine.steps)) == 2  # what the engine was at, and the clip


async def test_a_file_over_the_limit_ends_its_stream(make_client):
    client = await make_client(chunk_length_s=2.0, max_body_mb=0.4)
    sent = asyncio.Event()
    response = await client.post(PATH, **slow_form(("stream", "true"), sent=sent))
    sent.set()
    error = (await events(response))[-1]["error"]
    assert (error["code"], "MAX_BODY_MB=0.4" in error["message"]) == ("too_large", True)
