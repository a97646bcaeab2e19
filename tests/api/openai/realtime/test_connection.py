"""A connection: whatever is sent, its session goes on or ends with a code that says why."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
from dataclasses import replace
from typing import Any

import aiohttp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asr.api.openai.realtime import connection as module
from asr.api.openai.realtime import sender
from asr.capabilities import EngineInfo, ServerInfo
from asr.engines.engine import WindowResult
from asr.errors import BadRequest, Invalid, TranscriptionFailed
from asr.http.app_keys import LIVE, SCHEDULER
from asr.live import inbox
from asr.live.session import EndReason, LiveSession
from asr.transcript import Segment, TokenLogprob, Word
from tests.conftest import PATIENCE_SECONDS, eventually
from tests.support.realtime import OURS, TEXT, URL, Socket, kinds, sound

INFO = EngineInfo("fake", "fake", "", "", {"en": "english"}, can_prompt=True)
SERVER = ServerInfo()
ABOUT_ONE = pytest.approx(1.0, abs=0.04)  # second: what is resampled comes a little later
LOGPROBS = "item.input_audio_transcription.logprobs"
HYPOTHESIS = "item.input_audio_transcription.hypothesis"
WORDS = "item.input_audio_transcription.words"


def nothing_is_left(client) -> bool:
    scheduler = client.app[SCHEDULER]
    return client.app[LIVE].count == 0 and not scheduler._requests and not scheduler.queue_seconds


@pytest.mark.parametrize(
    ("message", "param", "says"),
    [
        ("{", None, "is not JSON"),
        ('["a"]', None, "is not a JSON object"),
        ("[" * 20_000, None, "nested too deep"),
        ("{}", "type", "type: is missing"),
        ('{"type": 1}', "type", "type: must be text"),
        ('{"type": "response.create"}', "type", "this server only transcribes"),
        ('{"type": "input_audio_buffer.apend"}', "type", "use one of session.update,"),
        ('{"type": "input_audio_buffer.append"}', "audio", "audio: is missing"),
        ('{"type": "input_audio_buffer.append", "audio": [1]}', "audio", "must be text"),
        ('{"type": "input_audio_buffer.append", "audio": "QUJ"}', "audio", "is not base64"),
        ('{"type": "input_audio_buffer.append", "audio": "é==="}', "audio", "is not base64"),
        ('{"type": "session.update"}', "session", "session: is missing"),
        ('{"type": "session.update", "session": []}', "session", "must be an object"),
        (
            '{"type": "session.update", "session": {"type": "realtime"}}',
            "session.type",
            "must be one of transcription",
        ),
        ('{"type": "session.update", "event_id": 5, "session": {}}', "event_id", "must be text"),
        ('{"type": "input_audio_buffer.commit"}', None, "at least 100 ms are needed"),
    ],
)
async def test_what_cannot_be_done_is_an_error_and_the_session_goes_on(
    live_client, connect, message, param, says
):
    socket = await connect(live_client)
    await socket.socket.send_str(message)
    error = await socket.error()
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert says in error["message"]
    await socket.append(sound(1.0, 1.0))
    await socket.until(f"{TEXT}.completed")


async def test_errors_name_the_event_of_the_client(live_client, connect):
    socket = await connect(live_client)
    await socket.send("nonsense", event_id="my-1")
    assert (await socket.error())["event_id"] == "my-1"
    await socket.send("input_audio_buffer.commit", event_id="my-2")
    assert (await socket.error())["event_id"] == "my-2"
    await socket.send("session.update", event_id="my-3", session={"include": 5})
    assert (await socket.error())["event_id"] == "my-3"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["type", "audio", "input", "format", "session", "rate", "x"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from(
        ["session.update", "transcription_session.update", "input_audio_buffer.append"]
    ),
)
def test_no_event_of_any_shape_fails_the_server(value, kind):
    body = {"type": kind, "session": value, "audio": value}
    with contextlib.suppress(module.RefusedEvent, BadRequest, Invalid):  # and no other error
        event, _ = module.read_event(json.dumps(body).encode())
        if isinstance(event, module.UpdateEvent):
            module.configuration.initial(event.session, INFO, SERVER)


async def test_binary_messages_are_audio_without_base64(live_client, connect):
    socket = await connect(live_client)
    data = sound(1.0, 1.0)
    for place in range(0, len(data), 4801):  # samples are parted
        await socket.socket.send_bytes(data[place : place + 4801])
    events = await socket.until(f"{TEXT}.completed")
    assert events[-1]["transcript"] == "1.54 s"


async def test_manual_commits_and_clear(live_client, connect):
    socket = await connect(live_client)
    await socket.update(turn_detection=None)
    await socket.append(sound(1.0))
    await socket.send("input_audio_buffer.clear")
    assert (await socket.next())["type"] == "input_audio_buffer.cleared"
    await socket.append(sound(2.0))
    await socket.send("input_audio_buffer.commit")
    events = await socket.until("conversation.item.done")
    assert kinds(events)[:2] == ["buffer.committed", "conversation.item.added"]
    assert events[-2]["usage"]["seconds"] == pytest.approx(2.0, abs=0.04)


async def test_other_rates_and_g711_are_heard(live_client, connect):
    socket = await connect(live_client, is_strict=False)
    await socket.update(turn_detection=None, format={"type": "audio/pcm", "rate": 48_000})
    await socket.append(sound(2.0))  # written for half the rate
    await socket.send("input_audio_buffer.commit")
    *_, completed, _ = await socket.until("conversation.item.done")
    assert completed["usage"]["seconds"] == ABOUT_ONE
    answer = await socket.update(format={"type": "audio/pcmu"})
    assert answer["session"]["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    await socket.append(bytes(range(0, 128)) * 125)
    await socket.send("input_audio_buffer.commit")
    assert (await socket.until(f"{TEXT}.completed"))[-1]["usage"]["seconds"] == pytest.approx(
        2.0, abs=0.02
    )


async def test_words_logprobs_and_hypotheses_come_where_they_are_included(
    make_live_client, connect, engine
):
    def transcribe(window):
        tokens = (TokenLogprob(b" he", -0.1), TokenLogprob(b"llo", -0.2))
        words = (Word(" hello", 0.0, window.seconds, 0.9),)
        segment = Segment(0.0, window.seconds, " hello", words, token_logprobs=tokens)
        return WindowResult(window, (segment,), "en")

    engine.transcribe = transcribe
    engine.info = replace(engine.info, has_words=True, has_logprobs=True)
    client = await make_live_client()
    socket = await connect(client, is_strict=False)
    include = [LOGPROBS, WORDS, HYPOTHESIS]
    await socket.send("session.update", session={"include": include})
    answer = await socket.next()
    assert "warnings" not in answer["session"]
    assert answer["session"]["include"] == include
    await socket.append(sound(1.0, 1.0))
    events = [e for e in await socket.until(f"{TEXT}.completed") if e["type"] != OURS]
    delta, completed = events[-2:]
    assert (delta["delta"], completed["transcript"]) == ("hello", "hello")
    expected = [
        {"token": "he", "logprob": -0.1, "bytes": [104, 101]},
        {"token": "llo", "logprob": -0.2, "bytes": [108, 108, 111]},
    ]
    assert delta["logprobs"] == completed["logprobs"] == expected
    [word] = completed["words"]
    assert (word["word"], word["probability"]) == ("hello", 0.9)
    assert (completed["start"], completed["language"]) == (0.0, "en")


async def test_speakers_come_as_segments_before_the_whole_text(live_client, connect):
    socket = await connect(live_client)
    answer = await socket.update(transcription={"model": "gpt-4o-transcribe-diarize"})
    shown = answer["session"]["audio"]["input"]["transcription"]
    assert shown["model"] == "gpt-4o-transcribe-diarize"
    loud = np.frombuffer(sound(2.0, 1.0), "<i2")
    for data in (loud, loud // 5, loud):
        await socket.append(data.tobytes())
    found = []
    for _ in range(3):
        *before, completed = await socket.until(f"{TEXT}.completed")
        [segment] = [event for event in before if event["type"] == f"{TEXT}.segment"]
        assert segment["item_id"] == completed["item_id"]
        assert segment["text"] == completed["transcript"]
        assert 0 <= segment["start"] < segment["end"]
        found.append((segment["id"], segment["speaker"]))
    assert found == [("seg_001", "A"), ("seg_002", "B"), ("seg_003", "A")]


async def test_a_diarizer_that_fails_is_an_error_and_the_text_comes(live_client, connect, diarizer):
    diarizer.failing = "begin"
    socket = await connect(live_client)
    await socket.update(transcription={"diarize": True})
    await socket.append(sound(2.0, 1.0))
    *before, completed = await socket.until(f"{TEXT}.completed")
    assert completed["transcript"]
    assert "the diarizer failed on this audio" in before[-1]["error"]["message"]


async def test_a_server_without_diarizer_refuses_the_diarizing_model(make_live_client, connect):
    socket = await connect(await make_live_client(diarizer="off"))
    await socket.send(
        "session.update",
        event_id="mine",
        session={"audio": {"input": {"transcription": {"model": "gpt-4o-transcribe-diarize"}}}},
    )
    error = await socket.error()
    assert error["event_id"] == "mine"
    assert error["param"] == "session.audio.input.transcription.model"
    assert "name another model, or start the server with DIARIZER=builtin" in error["message"]


async def test_an_utterance_that_fails_is_told_and_the_session_goes_on(
    make_live_client, connect, engine
):
    def transcribe(window):
        return WindowResult(window, error=TranscriptionFailed("the model failed on this audio"))

    client = await make_live_client()
    socket = await connect(client)
    await socket.update(turn_detection=None)
    await socket.append(sound(1.0))
    engine.transcribe = transcribe
    await socket.send("input_audio_buffer.commit")
    events = await socket.until("conversation.item.done")
    assert kinds(events)[-2:] == ["transcription.failed", "conversation.item.done"]
    assert events[-2]["error"]["type"] == "server_error"
    assert events[-1]["item"]["status"] == "incomplete"
    engine.transcribe = None
    await socket.append(sound(1.0))
    await socket.send("input_audio_buffer.commit")
    assert (await socket.until(f"{TEXT}.completed"))[-1]["usage"]["seconds"] == ABOUT_ONE


@pytest.mark.parametrize("phase", ["at once", "audio", "speech", "queue", "engine", "large"])
async def test_a_client_that_leaves_in_any_phase_leaves_nothing(
    make_live_client, connect, engine, phase
):
    client = await make_live_client()
    socket = await connect(client)
    if phase == "audio":
        await socket.append(bytes(48_000))
    if phase == "speech":
        await socket.append(sound(1.0))
        await socket.until("input_audio_buffer.speech_started")
    if phase in {"queue", "engine"}:
        engine.gate.clear()
        data = sound(*[1.0] * (2 if phase == "engine" else 12))
        await socket.append(data)
        await socket.until("input_audio_buffer.committed")
        await eventually(lambda: engine.steps)
    if phase == "large":
        await socket.socket.send_str(
            '{"type": "input_audio_buffer.append", "audio": "' + "A" * 10**6
        )
    socket.socket._response.connection.transport.abort()
    engine.gate.set()
    await eventually(lambda: nothing_is_left(client))
    await connect(client)  # and another may come


async def test_an_append_of_fifteen_mib_is_taken_and_one_beyond_is_not(live_client, connect):
    socket = await connect(live_client)
    audio = base64.b64encode(bytes(15 * 2**20)).decode()
    await socket.send("input_audio_buffer.append", audio=audio)
    await socket.send("nonsense")
    assert (await socket.error())["param"] == "type"
    await socket.socket.send_str("a" * (22 * 2**20))
    assert (await socket.closed())[0] == 1009


async def test_audio_that_nobody_reads_in_time_closes_the_session_with_1013(
    make_live_client, connect, engine, monkeypatch
):
    monkeypatch.setattr(inbox, "MOST_BYTES", 10**6)
    client = await make_live_client()
    engine.gate.clear()
    socket = await connect(client)
    with contextlib.suppress(ConnectionError):
        while True:  # until it is closed
            await socket.append(sound(10.0))
    code, reason = await socket.closed()
    assert code == aiohttp.WSCloseCode.TRY_AGAIN_LATER
    assert "audio" in reason
    engine.gate.set()
    await eventually(lambda: nothing_is_left(client))


async def test_a_session_that_is_behind_is_closed_with_1013(live_client, connect, monkeypatch):
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    socket = await connect(live_client)
    monkeypatch.setattr(LiveSession, "is_behind", True)
    error = await socket.error()
    assert (error["type"], error["code"]) == ("rate_limit_error", "overloaded")
    code, reason = await socket.closed()
    assert (code, "does not keep up" in reason) == (1013, True)


async def test_a_client_that_reads_nothing_is_closed_with_1008(live_client, monkeypatch):
    async def stuck(_: sender.Sender) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(sender, "MOST_BYTES", 2000)
    monkeypatch.setattr(sender.Sender, "run", stuck)
    socket = Socket(await live_client.ws_connect(URL))
    for _ in range(10):
        await socket.send("x" * 100)
    assert await socket.closed() == (1008, "the client does not read its events")
    await eventually(lambda: nothing_is_left(live_client))


async def test_a_session_expires_with_an_event_and_a_normal_end(make_live_client, connect):
    client = await make_live_client(max_live_session_s=0.05)
    socket = await connect(client)
    error = await socket.error()
    assert error["code"] == "session_expired"
    assert "MAX_LIVE_SESSION_S" in error["message"]
    assert await socket.closed() == (1000, "the session has expired")


async def test_a_server_that_stops_tells_its_sessions_at_once(make_live_client, connect, engine):
    client = await make_live_client()
    sockets = [await connect(client) for _ in range(3)]
    engine.gate.clear()
    await sockets[0].append(sound(1.0, 1.0))
    await sockets[0].until("input_audio_buffer.committed")
    client.app[LIVE].stop()
    for socket in sockets:
        code, reason = await socket.closed()
        assert (code, "shutting down" in reason) == (1001, True)
    engine.gate.set()
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await connect(client)
    assert refused.value.status == 503


@pytest.mark.parametrize(
    ("reason", "code"), [(EndReason.ENGINE_DEAD, 1011), (EndReason.FINISHED, 1000)]
)
async def test_other_ends_of_a_session_have_codes_of_their_own(live_client, connect, reason, code):
    socket = await connect(live_client)
    [session] = live_client.app[LIVE]._open
    session.stop(reason)
    assert (await socket.closed())[0] == code


async def test_a_fault_of_ours_closes_with_1011_and_is_in_the_log(
    live_client, connect, monkeypatch, caplog
):
    def fail(*_):
        raise RuntimeError("a fault")

    socket = await connect(live_client)
    monkeypatch.setattr(LiveSession, "append", fail)
    await socket.append(sound(0.1))
    assert await socket.closed() == (1011, "the server failed: its log has the details")
    assert "a fault" in caplog.text


async def test_pings_are_answered_while_the_model_computes(make_live_client, connect, engine):
    client = await make_live_client()
    socket = await connect(client, autoping=False)
    engine.gate.clear()
    await socket.append(sound(1.0, 1.0))
    await socket.until("input_audio_buffer.committed")
    await socket.socket.ping(b"there?")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (message := await socket.socket.receive()).type is not aiohttp.WSMsgType.PONG:
            assert message.type is aiohttp.WSMsgType.TEXT
    assert message.data == b"there?"
    engine.gate.set()


async def test_fifty_sessions_at_once_all_get_their_text(make_live_client, connect):
    client = await make_live_client(max_live_sessions=50)

    async def speak() -> str:
        socket = await connect(client)
        await socket.append(sound(1.0, 1.0))
        events = await socket.until(f"{TEXT}.completed")
        await socket.socket.close()
        return events[-1]["transcript"]

    assert await asyncio.gather(*(speak() for _ in range(50))) == ["1.54 s"] * 50
    await eventually(lambda: nothing_is_left(client))


async def test_minutes_of_silence_cost_nothing_but_their_reading(live_client, connect, engine):
    socket = await connect(live_client)
    await socket.socket.send_bytes(bytes(2 * 24_000 * 180))
    await socket.append(sound(1.0, 1.0))
    events = await socket.until(f"{TEXT}.completed")
    assert events[0]["audio_start_ms"] == pytest.approx(180_000 - 300, abs=64)
    windows = [window for step in engine.steps for window in step]
    assert {round(window.seconds, 1) for window in windows} <= {1.8, 1.9}


async def test_a_frame_that_breaks_the_protocol_closes_with_1002(live_client, connect):
    socket = await connect(live_client)
    socket.socket._writer.transport.write(bytes([0x83, 0x80]) + b"mask")  # RFC 6455 has no type 3
    assert (await socket.closed())[0] == aiohttp.WSCloseCode.PROTOCOL_ERROR
    await eventually(lambda: nothing_is_left(live_client))


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_is_sent_in_whatever_order_each_utterance_is_told_once(
    live_client, connect, seed
):
    draw = random.Random(seed)
    socket = await connect(live_client)
    for number in range(40):
        await send_anything(socket, draw, f"{seed}-{number}")
    await socket.send("input_audio_buffer.commit", event_id="end")
    await socket.send("input_audio_buffer.clear")
    await socket.send("input_audio_buffer.commit", event_id="last")  # of nothing
    events = await all_events(socket)
    refused = [event["error"] for event in events if event["type"] == "error"]
    assert all(error["type"] == "invalid_request_error" for error in refused)
    assert all(error["event_id"] for error in refused)
    committed = [each for each in events if each["type"].endswith("buffer.committed")]
    chain = [None, *(each["item_id"] for each in committed)]
    assert [each["previous_item_id"] for each in committed] == chain[:-1]
    for item in chain[1:]:
        own = [each for each in events if item in (each.get("item_id"), each_id(each))]
        names = [each["type"].rpartition(".")[2] for each in own]
        assert sorted(set(names) - {"delta"}, key=names.index) in ORDERS
        assert len(names) - names.count("delta") == len(set(names) - {"delta"})  # each once
        deltas = [each["delta"] for each in own if each["type"] == f"{TEXT}.delta"]
        [completed] = (each for each in own if each["type"] == f"{TEXT}.completed")
        assert "".join(deltas) == completed["transcript"]


MANUAL = ["committed", "added", "completed", "done"]
ORDERS = [MANUAL, ["speech_started", "speech_stopped", *MANUAL], ["speech_started", *MANUAL]]


def each_id(event):
    return event.get("item", {}).get("id")


async def send_anything(socket: Socket, draw: random.Random, name: str) -> None:
    kind = draw.choice(["sound", "sound", "silence", "bytes", "commit", "clear", "turns", "wrong"])
    if kind == "sound":
        await socket.append(sound(draw.uniform(0.01, 2.0), draw.uniform(0.01, 1.0)), event_id=name)
    elif kind == "silence":
        await socket.append(bytes(2 * draw.randint(0, 24_000)), event_id=name)
    elif kind == "bytes":
        await socket.socket.send_bytes(sound(draw.uniform(0.01, 1.0))[: draw.randint(0, 48_000)])
    elif kind in {"commit", "clear"}:
        await socket.send(f"input_audio_buffer.{kind}", event_id=name)
    elif kind == "turns":
        turns = draw.choice([None, {"silence_duration_ms": draw.randint(0, 900)}])
        session = {"audio": {"input": {"turn_detection": turns}}}
        await socket.send("session.update", event_id=name, session=session)
    else:
        await socket.send("session.update", event_id=name, session={"include": draw.randint(0, 9)})


async def all_events(socket: Socket) -> list[dict[str, Any]]:
    """Return the events up to the refusal of the last commit, and the whole texts of all items."""
    events: list[dict[str, Any]] = []
    is_last, items = False, 0  # items that are committed and not done
    while not is_last or items:
        event = await socket.next()
        events.append(event)
        items += event["type"].endswith("buffer.committed")
        items -= event["type"] == "conversation.item.done"
        is_last |= event.get("error", {}).get("event_id") == "last"
    return events
