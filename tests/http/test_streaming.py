"""Events as they come: paced by heartbeats, framed as lines, ended by what went wrong."""

import asyncio
import io
import json

import pytest

from asr.engines.engine import WindowResult
from asr.errors import EngineDead
from asr.http.streaming import JSON_LINES, SERVER_SENT_EVENTS, paced
from tests.conftest import PATIENCE_SECONDS, tone, wav

CLIP = wav(tone(1.0))


async def test_a_silence_is_reported_after_the_first_pause_and_then_after_each_later_one():
    ready = asyncio.Event()

    async def some():
        await ready.wait()
        yield {"n": 1}
        yield {"n": 2}

    sent = []
    async for event in paced(some(), 0.01, 0.02):
        sent.append(event)
        if sent == [None, None]:
            ready.set()
    assert sent[-2:] == [{"n": 1}, {"n": 2}]
    assert set(map(str, sent[:-2])) == {"None"}


@pytest.mark.parametrize("is_silent", [False, True])
async def test_whoever_stops_reading_ends_the_events(is_silent):
    ended = []

    async def some():
        try:
            yield {"n": 1}
            await asyncio.Event().wait()
            yield {}
        finally:
            ended.append(True)

    reading = paced(some(), PATIENCE_SECONDS, 0.01)
    assert await anext(reading) == {"n": 1}
    if is_silent:
        assert await anext(reading) is None
    await reading.aclose()
    assert ended == [True]


async def test_a_failure_of_the_events_is_raised():
    async def some():
        yield {"n": 1}
        raise ValueError("broken")

    reading = paced(some(), 1, 1)
    assert await anext(reading) == {"n": 1}
    with pytest.raises(ValueError, match="broken"):
        await anext(reading)


def test_an_event_is_one_line_of_data_whatever_it_holds():
    event = {"delta": "two\nlines \u2028 and åäö"}
    framed = SERVER_SENT_EVENTS.frame(event)
    assert framed.startswith(b"data: ")
    assert framed.endswith(b"\n\n")
    assert framed.decode().splitlines() == [framed.decode().rstrip(), ""]
    assert json.loads(framed[6:]) == json.loads(JSON_LINES.frame(event)) == event


async def test_bad_audio_has_its_own_status_however_late_a_busy_machine_finds_it(
    make_client, monkeypatch
):
    monkeypatch.setattr("asr.http.streaming.FIRST_SECONDS", 0.0)
    client = await make_client()
    response = await client.post("/asr?stream=true", data=bytes(range(256)) * 100)
    assert response.status == 400
    assert "audio" in (await response.json())["error"]


async def test_asr_streams_the_same_events_as_json_lines(make_client):
    client = await make_client(chunk_length_s=2.0)
    audio = wav(tone(7.0))
    whole = await (await client.post("/asr", data=audio)).json()
    response = await client.post("/asr?stream=true", data=audio)
    assert response.content_type == "application/x-ndjson"
    sent = [json.loads(line) async for line in response.content]
    assert sent[-1] == {"type": "transcript.text.done", "text": whole["text"], "duration": 7.0}
    assert "".join(event.get("delta", "") for event in sent) == whole["text"]
    segments = [e for e in sent if e["type"] == "transcript.text.segment"]
    assert [[s["start"], s["end"]] for s in segments] == [
        pytest.approx(chunk["timestamp"], abs=0.001) for chunk in whole["chunks"]
    ]
    untimed = await client.post("/asr?stream=1&timestamps=none", data=audio)
    kinds = {json.loads(line)["type"] async for line in untimed.content}
    assert kinds == {"transcript.text.delta", "transcript.text.done"}


async def test_asr_tells_failures_of_a_stream_in_its_own_shape(make_client, engine):
    client = await make_client()
    response = await client.post("/asr?stream=true", data=b"")
    assert (response.status, "empty" in (await response.json())["error"]) == (400, True)
    client = await make_client(stream_heartbeat_s=0.2)
    engine.gate.clear()
    engine.transcribe = lambda window: WindowResult(window, error=ValueError("secret"))
    response = await client.post("/asr?stream=true", data=CLIP)
    engine.gate.set()
    lines = [json.loads(line) async for line in response.content]
    assert lines[0] == {"type": "heartbeat"}
    assert lines[-1] == {"type": "error", "error": "the model failed on this audio: ValueError"}


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("path", ["/asr?stream=true", "/v1/audio/transcriptions"])
async def test_a_stream_is_logged_once_as_transcribed_or_as_broken_off(
    make_client, engine, caplog, path, fails
):
    caplog.set_level("INFO")
    client = await make_client(stream_heartbeat_s=0.02)
    engine.gate.clear()
    if fails:
        engine.transcribe = lambda window: WindowResult(window, error=EngineDead("gone"))
    form = {"file": io.BytesIO(CLIP), "stream": "true"}
    response = await client.post(path, data=CLIP if path.startswith("/asr") else form)
    engine.gate.set()
    await response.read()
    name = response.headers["X-Request-ID"]
    [line] = [record.message for record in caplog.records if record.message.startswith(name)]
    assert ("the stream ended early: 'gone'" if fails else "1.0 s of audio, fetch") in line
