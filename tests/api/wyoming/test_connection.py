"""A client's connection: text for its recordings, and an error that ends it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest
from wyoming.asr import Transcribe
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import Event
from wyoming.info import Describe
from wyoming.ping import Ping

from asr.engines.engine import WindowResult
from tests.conftest import RATE, eventually, tone
from tests.support.wyoming import (
    answer_to,
    pcm,
    refusal,
    say,
    text_of,
    until_event,
)

LARGE = tone(9.0, 48_000)  # more than the decoder reads before it begins


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("rate", "channels"), [(16_000, 1), (8_000, 2), (22_050, 1), (48_000, 2), (44_100, 6)]
)
async def test_audio_of_every_format_is_heard_as_it_is(client, port, engine, rate, channels, width):
    sound = tone(2.0, rate)
    samples = sound if channels == 1 else np.stack([sound] * channels, axis=1)
    await say(client, samples, rate, width)
    assert await text_of(client) == "2.00 s"
    [[window]] = engine.steps
    expected = tone(2.0)[RATE // 2 : -RATE // 2]
    heard = window.samples[RATE // 2 : -RATE // 2]
    assert np.corrcoef(heard, expected)[0, 1] > 0.99
    assert port.count(200) == 1


async def test_the_text_streams_while_the_audio_still_arrives_and_comes_whole(make_port):
    port = await make_port(chunk_length_s=2.0)
    async with port.client() as client:
        await say(client, LARGE, 48_000, 4, is_whole=False, language="es")
        start, chunk = await until_event(client, "transcript-chunk")
        assert (start.type, start.data) == ("transcript-start", {"language": "es"})
        await client.write_event(AudioStop().event())
        *rest, transcript, stop = await until_event(client, "transcript-stop")
    texts = [event.data["text"] for event in (chunk, *rest)]
    assert {event.type for event in rest} == {"transcript-chunk"}
    assert len(texts) >= 3
    assert transcript.type == "transcript"
    assert transcript.data == {"text": "".join(texts), "language": "es"}
    assert stop.data == {}


async def test_silence_is_a_transcript_without_text(make_port):
    port = await make_port(vad="energy")
    async with port.client() as client:
        await say(client, np.zeros(2 * RATE, np.float32))
        kinds = [event.type for event in await until_event(client, "transcript-stop")]
        assert kinds == ["transcript-start", "transcript", "transcript-stop"]


async def test_the_words_of_a_transcribe_hold_for_its_recording_alone(client, engine):
    await say(client, language="es")
    await text_of(client)
    await client.write_event(AudioStart(RATE, 2, 1).event())
    await client.write_event(AudioChunk(RATE, 2, 1, pcm(tone(1.0))).event())
    await client.write_event(AudioStop().event())
    await text_of(client)
    assert [window.options.language for [window] in engine.steps] == ["es", None]


async def test_a_chunk_begins_a_recording_that_has_no_start(client):
    await client.write_event(AudioChunk(8_000, 2, 1, pcm(tone(1.0, 8_000))).event())
    await client.write_event(AudioStop().event())
    assert await text_of(client) == "1.00 s"


async def test_a_whole_file_may_be_one_chunk(client):
    await client.write_event(AudioChunk(RATE, 2, 1, pcm(tone(25.0))).event())
    await client.write_event(AudioStop().event())
    assert await text_of(client) == "25.00 s"


async def test_recordings_that_are_sent_at_once_are_answered_in_their_order(client):
    for seconds in (3.0, 1.0, 2.0):
        await say(client, tone(seconds))
    assert [await text_of(client) for _ in range(3)] == ["3.00 s", "1.00 s", "2.00 s"]


async def test_pings_and_questions_are_answered_and_other_events_passed_over(client, engine):
    engine.gate.clear()
    await say(client)
    for event in (Event("run-pipeline", {"a": 1}, b"abc"), Event("audio-stop"), Event("x")):
        await client.write_event(event)
    await client.write_event(Ping("still there?").event())
    assert (await client.read_event()).data == {"text": "still there?"}
    await client.write_event(Event("ping", {"text": {"no": "text"}}))
    assert (await client.read_event()).type == "pong"
    await client.write_event(Describe().event())
    assert (await client.read_event()).type == "info"
    engine.gate.set()
    assert await text_of(client) == "2.00 s"


def failing(_: Any) -> WindowResult:
    raise RuntimeError("the model has its own words")


@pytest.mark.parametrize(
    ("sent", "code", "said"),
    [
        ([Transcribe(language="tlh").event()], "bad_request", "the language 'tlh'"),
        ([Event("audio-start", {"rate": 16_000})], "bad_request", "width is missing"),
        (
            [AudioStart(RATE, 2, 1).event(), AudioChunk(8_000, 2, 1, b"ab").event()],
            "bad_request",
            "another format",
        ),
        ([AudioStart(RATE, 2, 1).event()] * 2, "bad_request", "send audio-stop first"),
        ([AudioStart(RATE, 2, 1).event(), AudioStop().event()], "bad_audio", "no samples"),
        ([Event("x" * 101)], "bad_request", "type"),
        ([AudioChunk(RATE, 2, 1, bytes(200_000)).event()], "too_large", "MAX_BODY_MB=0.125"),
    ],
)
async def test_a_failure_is_an_error_that_says_why_and_ends_the_connection(
    make_port, sent, code, said
):
    port = await make_port(max_body_mb=0.125)
    async with port.client() as client:
        for event in sent:
            await client.write_event(event)
        found = await refusal(client)
    assert found["code"] == code
    assert said in found["text"]


async def test_audio_that_is_too_long_is_refused_while_it_arrives(make_port):
    port = await make_port(max_audio_seconds=2.0)
    async with port.client() as client:
        await say(client, tone(60.0), is_whole=False)
        assert "MAX_AUDIO_SECONDS=2" in (await refusal(client))["text"]
    assert port.count(413) == 1


async def test_a_full_queue_refuses_with_the_time_to_come_again(make_port, engine):
    port = await make_port(max_queue_seconds=2.0)
    engine.gate.clear()
    async with port.client() as first, port.client() as second:
        await say(first)
        await eventually(lambda: engine.steps)
        await say(second, is_whole=False)
        found = await refusal(second)
        engine.gate.set()
        assert await text_of(first) == "2.00 s"
    assert found["code"] == "queue_full"
    assert "try again in" in found["text"]
    assert (port.count(200), port.count(429)) == (1, 1)


async def test_a_failed_engine_shows_none_of_its_words(make_port, engine):
    engine.transcribe = failing
    port = await make_port()
    async with port.client() as client:
        await say(client)
        found = await refusal(client)
    assert found["code"] in {"engine_dead", "transcription_failed"}


@pytest.mark.parametrize("is_whole", [False, True])
async def test_the_windows_of_a_client_that_leaves_are_dropped(make_port, engine, is_whole):
    port = await make_port(chunk_length_s=1.0)
    engine.gate.clear()
    async with port.client() as client:
        await say(client, LARGE, 48_000, 4, is_whole=is_whole)
        await eventually(lambda: engine.steps)
    await eventually(lambda: port.count(499))
    engine.gate.set()
    await eventually(lambda: port.metrics.get_sample_value("asr_queue_audio_seconds") == 0)
    async with port.client() as client:
        await say(client, tone(0.5))
        assert await text_of(client) == "0.50 s"
    transcribed = [window.seconds for step in engine.steps for window in step]
    assert len(transcribed) <= 4 + 1  # what was inside, and the other client's


async def test_a_client_that_closes_its_sending_side_gets_its_answer(client, port, engine):
    engine.gate.clear()
    await say(client)
    client._writer.write_eof()
    await eventually(lambda: engine.steps)
    assert (await client.read_event()).type == "ping", "it may have left"
    engine.gate.set()
    assert await text_of(client) == "2.00 s"
    assert await client.read_event() is None
    assert (port.count(200), port.count(499)) == (1, 0)


async def test_a_client_that_closes_its_sending_side_before_the_end_of_its_audio_has_left(
    client, port, engine
):
    await say(client, is_whole=False)
    client._writer.write_eof()
    assert await client.read_event() is None
    await eventually(lambda: port.count(499))
    assert engine.steps == []


async def test_a_client_that_sends_nothing_is_closed_and_one_that_waits_is_not(
    make_port, engine, clock
):
    port = await make_port(keepalive_timeout_s=60.0)
    engine.gate.clear()
    async with port.client() as waiting, port.client() as idle:
        await say(waiting)
        await eventually(lambda: engine.steps)
        clock.advance(60.0)
        assert await idle.read_event() is None
        engine.gate.set()
        assert await text_of(waiting) == "2.00 s"
        clock.advance(60.0)
        assert await waiting.read_event() is None  # it sends no other recording


async def test_an_event_that_never_ends_is_given_up(make_port):
    port = await make_port(keepalive_timeout_s=0.2)
    for part in (b'{"type": "de', b'{"type": "x", "data_length": 9}\n', b'{"type": "x", "payl'):
        assert await answer_to(port.number, part) == []


async def test_audio_that_comes_too_slowly_is_refused(make_port):
    port = await make_port(body_timeout_s=0.2)
    async with port.client() as client:
        await say(client, is_whole=False)
        assert (await refusal(client))["code"] == "body_timeout"
    start = {"type": "audio-chunk", "data": {"rate": 16_000, "width": 2, "channels": 1}}
    sent = json.dumps({**start, "payload_length": 10_000}).encode() + b"\nabc"
    [error] = await answer_to(port.number, sent)
    assert error["code"] == "body_timeout"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", "bad_request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(600) + b"\n", "bad_request"),
        (b"x" * 10_000_000, "too_large"),
        (b'{"type": "x", "data_length": 10000000000}\n', "too_large"),
        (b'{"type": "x", "payload_length": 10000000000}\n{}', "too_large"),
        (
            b'{"type": "audio-chunk", "data": {"rate": 16000, "width": 2, "channels": 1}, '
            b'"payload_length": 10000000000}\n',
            "too_large",
        ),
        (b"[" * 60_000 + b"\n", "bad_request"),
    ],
)
async def test_bytes_that_are_no_events_are_refused_at_once(port, sent, code):
    [error] = await answer_to(port.number, sent)
    assert (error["type"], error["code"]) == ("error", code)


async def ask_without_end(port: int) -> None:
    """Ask what the server is, and read no answer."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    try:
        while True:
            writer.write(b'{"type": "describe"}\n' * 1000)
            await writer.drain()
    finally:
        writer.transport.abort()


async def test_a_client_that_never_reads_is_dropped(make_port):
    port = await make_port(send_timeout_s=0.3)
    with pytest.raises(ConnectionError):
        await ask_without_end(port.number)


async def test_a_flood_of_small_events_lets_others_run(port):
    async with port.client() as flooding, port.client() as other:
        await flooding.write_event(AudioStart(RATE, 2, 1).event())
        chunk = b'{"type": "audio-chunk", "data": {"rate": 16000}, "payload_length": 2}\nab'
        flooding._writer.write(chunk * 4_000)
        await other.write_event(Ping().event())
        assert (await other.read_event()).type == "pong"
        await flooding.write_event(AudioStop().event())
        assert await text_of(flooding) == "0.25 s"
