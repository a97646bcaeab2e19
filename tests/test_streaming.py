"""Events as they come: paced by heartbeats, framed as lines, ended by what went wrong."""

import asyncio
import json

import pytest

from asr.streaming import JSON_LINES, SERVER_SENT_EVENTS, paced
from asr.windows import WindowResult
from tests.conftest import tone, wav

CLIP = wav(tone(1.0))


async def test_a_silence_is_told_after_the_first_pause_and_then_after_each_later_one():
    ready = asyncio.Event()

    async def events():
        await ready.wait()
        yield {"n": 1}
        yield {"n": 2}

    told = []
    async for event in paced(events(), 0.01, 0.02):
        told.append(event)
        if told == [None, None]:
            ready.set()
    assert told[-2:] == [{"n": 1}, {"n": 2}]
    assert set(map(str, told[:-2])) == {"None"}


async def test_whoever_stops_listening_ends_the_events():
    ended = []

    async def events():
        try:
            await asyncio.Event().wait()
            yield {}
        finally:
            ended.append(True)

    listening = paced(events(), 0.01, 0.01)
    assert await anext(listening) is None
    await listening.aclose()
    assert ended == [True]


async def test_a_failure_of_the_events_is_raised():
    async def events():
        yield {"n": 1}
        raise ValueError("broken")

    listening = paced(events(), 1, 1)
    assert await anext(listening) == {"n": 1}
    with pytest.raises(ValueError, match="broken"):
        await anext(listening)


def test_an_event_is_one_line_of_data_whatever_it_holds():
    event = {"delta": "two\nlines \u2028 and åäö"}
    framed = SERVER_SENT_EVENTS.frame(event)
    assert framed.startswith(b"data: ")
    assert framed.endswith(b"\n\n")
    assert framed.decode().splitlines() == [framed.decode().rstrip(), ""]
    assert json.loads(framed[6:]) == json.loads(JSON_LINES.frame(event)) == event


async def test_asr_streams_the_same_events_as_json_lines(make_client):
    client = await make_client(chunk_length_s=2.0)
    audio = wav(tone(7.0))
    whole = await (await client.post("/asr", data=audio)).json()
    response = await client.post("/asr?stream=true", data=audio)
    assert response.content_type == "application/x-ndjson"
    told = [json.loads(line) async for line in response.content]
    assert told[-1] == {"type": "transcript.text.done", "text": whole["text"], "duration": 7.0}
    assert "".join(event.get("delta", "") for event in told) == whole["text"]
    segments = [e for e in told if e["type"] == "transcript.text.segment"]
    assert [[s["start"], s["end"]] for s in segments] == [
        pytest.approx(chunk["timestamp"], abs=0.001) for chunk in whole["chunks"]
    ]
    untimed = await client.post("/asr?stream=1&timestamps=none", data=audio)
    kinds = {json.loads(line)["type"] async for line in untimed.content}
    assert kinds == {"transcript.text.delta", "transcript.text.done"}


async def test_asr_tells_failures_of_a_stream_in_its_own_shape(make_client, engine):
    client = await make_client(stream_heartbeat_s=0.2)
    response = await client.post("/asr?stream=true", data=b"")
    assert (response.status, "empty" in (await response.json())["error"]) == (400, True)
    engine.gate.clear()
    engine.hear = lambda window: WindowResult(window, error=ValueError("secret"))
    response = await client.post("/asr?stream=true", data=CLIP)
    engine.gate.set()
    lines = [json.loads(line) async for line in response.content]
    assert lines[0] == {"type": "heartbeat"}
    assert lines[-1] == {"error": "the model failed on this audio: ValueError"}
