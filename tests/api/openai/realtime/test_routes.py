"""The WebSocket: who may open it, in which dialect, and how many at once."""

from __future__ import annotations

import logging

import aiohttp
import pytest

from asr.config.keys import ApiKey
from asr.http.app_keys import LIVE
from tests.conftest import eventually
from tests.support.realtime import TEXT, URL, kinds, sound

KEY_PROTOCOLS = ["realtime", "openai-insecure-api-key.k3y"]


@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_both_prefixes_open_a_session_with_its_whole_configuration(
    live_client, connect, prefix
):
    socket = await connect(live_client, url=f"{prefix}{URL}&model=gpt-realtime-whisper")
    answer = await socket.update(transcription={"language": "english", "prompt": "x"})
    session = answer["session"]
    assert session["id"].startswith("sess_")
    assert session["audio"]["input"] == {
        "format": {"type": "audio/pcm", "rate": 24_000},
        "transcription": {"model": "fake", "language": "english", "prompt": "x"},
        "noise_reduction": None,
        "turn_detection": {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 500,
        },
    }
    assert session["warnings"] == [
        "prompt has no effect: the model fake takes no prompt"
    ]  # of this engine


async def test_a_turn_is_told_in_the_order_of_the_api(live_client, connect):
    socket = await connect(live_client)
    await socket.append(sound(1.0, 1.0))
    events = await socket.until("conversation.item.done")
    assert kinds(events) == [
        "buffer.speech_started",
        "buffer.speech_stopped",
        "buffer.committed",
        "conversation.item.added",
        "transcription.delta",
        "transcription.completed",
        "conversation.item.done",
    ]
    assert len({event["event_id"] for event in events}) == len(events)
    [item_id] = {event.get("item_id") or event["item"]["id"] for event in events}
    assert item_id.startswith("item_")
    completed = events[-2]
    assert completed["transcript"] == events[-3]["delta"] == "1.54 s"
    assert completed["usage"] == {"type": "duration", "seconds": 1.536}
    assert completed["languages"] == [{"code": "en"}]
    assert "words" not in completed
    assert events[-1]["item"]["content"] == [{"type": "input_audio", "transcript": "1.54 s"}]


async def test_items_are_linked_to_those_before_them(live_client, connect):
    socket = await connect(live_client)
    await socket.append(sound(1.0, 1.0, 1.0, 1.0))
    events = await socket.until("conversation.item.done")
    events += await socket.until("conversation.item.done")
    first, second = (event for event in events if event["type"].endswith(".committed"))
    assert first["previous_item_id"] is None
    assert second["previous_item_id"] == first["item_id"]
    assert events[-1]["previous_item_id"] == first["item_id"]


@pytest.mark.parametrize(
    "how",
    [
        {"headers": {"OpenAI-Beta": "realtime=v1"}},
        {"protocols": ["realtime", "openai-beta.realtime-v1"]},
    ],
)
async def test_a_client_of_the_beta_gets_the_betas_events(live_client, connect, how):
    socket = await connect(live_client, is_strict=False, **how)
    session = {
        "input_audio_format": "pcm16",
        "input_audio_transcription": {"model": "whisper-1", "language": "en"},
        "input_audio_noise_reduction": None,
        "turn_detection": None,
    }
    await socket.send("transcription_session.update", session=session)
    answer = await socket.next()
    assert answer["type"] == "transcription_session.updated"
    assert answer["session"]["input_audio_format"] == "pcm16"
    assert answer["session"]["input_audio_transcription"] == {"model": "fake", "language": "en"}
    assert answer["session"]["turn_detection"] is None
    assert "audio" not in answer["session"]
    await socket.append(sound(1.0))
    await socket.send("input_audio_buffer.commit")
    events = await socket.until(f"{TEXT}.completed")
    assert kinds(events[:2]) == ["buffer.committed", "conversation.item.created"]
    await socket.send("input_audio_buffer.clear")
    assert (await socket.next())["type"] == "input_audio_buffer.cleared"  # and no item.done


async def test_the_betas_update_turns_any_session_into_its_dialect(live_client, connect):
    socket = await connect(live_client, is_strict=False)
    await socket.send("transcription_session.update", session={"input_audio_format": "g711_ulaw"})
    answer = await socket.next()
    assert answer["type"] == "transcription_session.updated"
    assert answer["session"]["input_audio_format"] == "g711_ulaw"


async def test_pages_of_allowed_origins_may_open_it(make_live_client, connect):
    client = await make_live_client(cors_origins=("https://ours.example",))
    await connect(client, headers={"Origin": "https://ours.example"})
    own = str(client.make_url("")).rstrip("/")
    await connect(client, headers={"Origin": own})


async def test_more_sessions_than_are_allowed_are_refused_before_the_upgrade(
    make_live_client, connect
):
    client = await make_live_client(max_live_sessions=1)
    socket = await connect(client)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.ws_connect(URL)
    assert refused.value.status == 429
    assert int(refused.value.headers["Retry-After"]) >= 1
    await socket.socket.close()
    await eventually_free(client)
    await connect(client)


async def eventually_free(client) -> None:
    await eventually(lambda: client.app[LIVE].count == 0)


async def test_the_key_comes_in_a_header_or_as_a_subprotocol(make_live_client, connect):
    client = await make_live_client(api_key="k3y")
    for how in (
        {"headers": {"Authorization": "Bearer k3y"}},
        {"headers": {"x-admin-api-key": "k3y"}},
        {"protocols": KEY_PROTOCOLS},
        {"protocols": [*KEY_PROTOCOLS, "openai-organization.x"]},
    ):
        socket = await connect(client, **how)
        assert socket.socket.protocol == ("realtime" if "protocols" in how else None)
    for how in (
        {},
        {"headers": {"Authorization": "Bearer k3"}},
        {"protocols": ["realtime", "openai-insecure-api-key.k3"]},
    ):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(URL, **how)
        assert refused.value.status == 401
    offered = {"Sec-WebSocket-Protocol": KEY_PROTOCOLS[1]}
    assert (await client.get("/v1/models", headers=offered)).status == 401  # it opens no other


async def test_an_open_session_counts_among_its_clients_requests(make_live_client, connect):
    client = await make_live_client(api_keys=(ApiKey("bob", "b", 1),))
    key = {"Authorization": "Bearer b"}
    socket = await connect(client, headers=key)
    for _ in range(2):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(URL, headers=key)
        assert refused.value.status == 429
    assert (await client.post("/asr", data=b"", headers=key)).status == 429
    await socket.socket.close()
    await eventually_free(client)
    await connect(client, headers=key)


async def test_each_session_ends_with_a_line_in_the_log(live_client, connect, caplog):
    caplog.set_level(logging.INFO)
    socket = await connect(live_client)
    await socket.append(sound(1.0, 1.0))
    await socket.until("conversation.item.done")
    await socket.socket.close()
    await eventually_free(live_client)
    await eventually(lambda: "live session" in caplog.text)
    [line] = [each for each in caplog.messages if "live session" in each]
    assert "/v1/realtime: live session sess_" in line
    assert ": 2.0 s of audio, 1 utterances, total " in line
    assert line.endswith("the client has left")


async def test_metrics_count_sessions_and_utterances(live_client, connect):
    socket = await connect(live_client)
    await socket.append(sound(1.0, 1.0))
    await socket.until("conversation.item.done")
    told = await (await live_client.get("/metrics")).text()
    assert "asr_live_sessions 1.0" in told
    assert "asr_live_utterances_total 1.0" in told
    assert "asr_live_text_seconds_count 1.0" in told
