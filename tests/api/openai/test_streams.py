"""OpenAI's dialect as a stream: text while the file still arrives, heartbeats, and failures."""

import asyncio
import io
import json
from dataclasses import replace

import soundfile

from asr.engines.engine import WindowResult
from asr.http import app_keys
from tests.conftest import eventually, tone, wav
from tests.support.forms import PATH, events, transcribe


async def test_a_stream_tells_each_window_when_it_is_heard(make_client, engine):
    client = await make_client(chunk_length_s=2.0)
    response = await transcribe(client, file=wav(tone(7.0)), stream="true", flavour="sweet")
    assert response.content_type == "text/event-stream"
    assert "flavour" in response.headers["X-Warnings"]
    told = await events(response)
    kinds = [event["type"].removeprefix("transcript.text.") for event in told]
    heard = sum(len(step) for step in engine.steps)
    assert kinds == ["delta", "segment"] * heard + ["done"]
    assert [e["id"] for e in told if "id" in e] == [f"seg_{n}" for n in range(heard)]
    whole = await (await transcribe(client, file=wav(tone(7.0)))).json()
    assert "".join(event.get("delta", "") for event in told) == told[-1]["text"] == whole["text"]
    starts = [event["start"] for event in told if "start" in event]
    assert starts == sorted(starts)


async def test_a_stream_beats_while_the_engine_is_busy(make_client, engine):
    client = await make_client(stream_heartbeat_s=0.02)
    engine.gate.clear()
    response = await transcribe(client, stream="true")  # answered before anything is heard
    assert (await response.content.readline()).startswith(b":")
    assert await response.content.readline() == b"\n"
    assert (await response.content.readline()).startswith(b":")
    engine.gate.set()
    assert (await events(response))[-1] == {"type": "transcript.text.done", "text": "1.00 s"}


async def test_a_failure_amid_a_stream_is_its_last_event(make_client, engine):
    client = await make_client(stream_heartbeat_s=0.02)
    engine.gate.clear()
    engine.hear = lambda window: WindowResult(window, error=ValueError("secret"))
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
    await eventually(lambda: engine.steps and client.app[app_keys.SCHEDULER]._turns)
    response.close()
    registry = client.app[app_keys.METRICS].registry
    await eventually(lambda: registry.get_sample_value("asr_queue_audio_seconds") == 0)
    engine.gate.set()
    await transcribe(client)
    assert sum(map(len, engine.steps)) == 2  # what the engine was at, and the clip


def slow_form(*before, after=(), sent):
    """A form whose file stops half way until `sent` is set."""

    def field(name, value):
        return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'

    file = io.BytesIO()
    soundfile.write(file, tone(20.0), 16_000, format="AU")  # heard from its first second on
    audio = file.getvalue()

    async def body():
        yield "".join(field(*pair) for pair in before).encode()
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        yield audio[: len(audio) // 2]
        async with asyncio.timeout(20):
            await sent.wait()
        yield audio[len(audio) // 2 :] + b"\r\n"
        yield "".join(field(*pair) for pair in after).encode() + b"--b--\r\n"

    return {"data": body(), "headers": {"Content-Type": "multipart/form-data; boundary=b"}}


async def test_text_is_streamed_while_the_file_is_still_being_sent(make_client):
    client = await make_client(chunk_length_s=2.0)
    sent = asyncio.Event()
    late = [("model", "whisper-1"), ("language", "")]
    response = await client.post(PATH, **slow_form(("stream", "true"), after=late, sent=sent))
    while not (line := await response.content.readline()).startswith(b"data: "):
        pass  # a loaded machine: the heart beats before the first window is heard
    assert json.loads(line[6:])["type"] == "transcript.text.delta"
    assert not sent.is_set()
    sent.set()
    assert await response.content.readline() == b"\n"
    assert (await events(response))[-1]["type"] == "transcript.text.done"


async def test_a_field_after_a_streamed_file_may_not_change_what_is_done(make_client):
    client = await make_client(chunk_length_s=2.0)
    sent = asyncio.Event()
    late = [("language", "es")]
    response = await client.post(PATH, **slow_form(("stream", "true"), after=late, sent=sent))
    sent.set()
    error = (await events(response))[-1]["error"]
    assert (error["param"], "send the file last" in error["message"]) == ("language", True)


async def test_a_field_after_the_file_counts_where_the_stream_is_asked_after_it_too(client):
    response = await transcribe(client, ("stream", "true"), ("response_format", "srt"))
    assert (await events(response))[-1]["text"].startswith("1\n00:00:00,000 --> ")


async def test_a_file_over_the_limit_ends_its_stream(make_client):
    client = await make_client(chunk_length_s=2.0, max_body_mb=0.4)
    sent = asyncio.Event()
    response = await client.post(PATH, **slow_form(("stream", "true"), sent=sent))
    sent.set()
    error = (await events(response))[-1]["error"]
    assert (error["code"], "MAX_BODY_MB=0.4" in error["message"]) == ("too_large", True)
