"""A server's session is driven over its socket, with the events of OpenAI's Realtime API."""

import base64
import json

import pytest
from aiohttp import web

from asr.cli.client import Refused, Unreachable
from asr.cli.live import remote
from asr.live.events import (
    CommandRefused,
    Committed,
    Completed,
    Delta,
    Failed,
    Hypothesis,
    SpeechStarted,
    SpeechStopped,
)
from asr.options import Options
from asr.transcript import Word
from tests.conftest import free_port

BUFFER, ITEM = "input_audio_buffer", "conversation.item.input_audio_transcription"


class Script:
    """A server that sends events as told, and keeps what it is sent."""

    def __init__(self):
        self.received = []
        self.answers = {}  # type of the client's event → events of the server
        self.close = None  # code and reason of the end, after the first audio
        self.headers = {}

    async def serve(self, request):
        self.headers = request.headers
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "session.created", "event_id": "1", "session": {}})
        async for message in socket:
            event = json.loads(message.data)
            self.received.append(event)
            for answer in self.answers.get(event["type"], ()):
                await socket.send_str(answer if isinstance(answer, str) else json.dumps(answer))
            if self.close and event["type"] == f"{BUFFER}.append":
                await socket.close(code=self.close[0], message=self.close[1])
        return socket


@pytest.fixture
def script():
    script = Script()
    script.answers[f"{BUFFER}.clear"] = [{"type": f"{BUFFER}.cleared"}]
    return script


@pytest.fixture
async def url(aiohttp_server, script):
    app = web.Application()
    app.router.add_get("/v1/realtime", script.serve)
    return str((await aiohttp_server(app)).make_url(""))


async def events_of(url, key=None, options=None):
    """Send a piece of audio; return all events."""
    async with remote.opened(url, key, 16_000, options or Options()) as session:
        await session.append(b"\1\2")
        await session.finish()
        return [event async for event in session.events()]


async def test_the_session_is_set_up_and_the_audio_is_sent_and_ended(url, script):
    options = Options("en", ("en", "es"), task="translate", prompt="Lima")
    assert await events_of(url, "secret", options) == []
    setup, audio, commit, clear = script.received
    assert script.headers["Authorization"] == "Bearer secret"
    asked = setup["session"]["audio"]["input"]
    assert asked["format"] == {"type": "audio/pcm", "rate": 16_000}
    assert asked["transcription"] == {
        "language": "en",
        "languages": ["en", "es"],
        "task": "translate",
        "prompt": "Lima",
    }
    assert setup["session"]["include"] == [
        "item.input_audio_transcription.hypothesis",
        "item.input_audio_transcription.words",
    ]
    assert base64.b64decode(audio["audio"]) == b"\1\2"
    assert (commit["type"], clear["type"]) == (f"{BUFFER}.commit", f"{BUFFER}.clear")


async def test_events_are_those_of_a_session_in_this_process(url, script):
    script.answers[f"{BUFFER}.append"] = [
        {"type": f"{BUFFER}.speech_started", "item_id": "a", "audio_start_ms": 1250},
        {"type": f"{ITEM}.hypothesis", "item_id": "a", "content_index": 0, "text": " Two"},
        {"type": f"{ITEM}.delta", "item_id": "a", "content_index": 0, "delta": " Two"},
        {"type": f"{BUFFER}.speech_stopped", "item_id": "a", "audio_end_ms": 2000},
        {"type": f"{BUFFER}.committed", "item_id": "a", "previous_item_id": None},
        {"type": "conversation.item.added", "item": {}},
        {"type": f"{ITEM}.completed", "item_id": "a", "transcript": " Two", "usage": {}},
        {"type": "of a server yet to come"},
    ]
    assert await events_of(url) == [
        SpeechStarted("a", 1.25),
        Hypothesis("a", " Two"),
        Delta("a", " Two"),
        SpeechStopped("a", 2.0),
        Committed("a", None),
        Completed("a", " Two", 1.25, 2.0, None),
    ]


async def test_times_and_words_are_the_servers_where_it_tells_them(url, script):
    word = {"word": " Two", "start": 1.3, "end": 1.9, "probability": 0.5}
    completed = {"type": f"{ITEM}.completed", "item_id": "a", "transcript": " Two\ud800"}
    completed |= {"start": 1.3, "end": 2.1, "language": "en", "words": [word]}
    script.answers[f"{BUFFER}.append"] = [completed]
    [event] = await events_of(url)
    words = (Word(" Two", 1.3, 1.9, 0.5),)
    assert event == Completed("a", " Two?", 1.3, 2.1, "en", words=words)


async def test_what_is_committed_last_is_awaited(url, script):
    script.answers[f"{BUFFER}.commit"] = [{"type": f"{BUFFER}.committed", "item_id": "b"}]
    script.answers[f"{BUFFER}.clear"] += [
        {"type": f"{ITEM}.failed", "item_id": "b", "error": {"type": "x", "message": "no"}}
    ]
    committed, failed = await events_of(url)
    assert committed == Committed("b", None)
    assert (type(failed), failed.item_id, str(failed.error)) == (Failed, "b", "no")


async def test_that_nothing_is_left_to_commit_is_no_failure_and_another_error_is_told(url, script):
    error = {"type": "invalid_request_error", "message": "too small", "event_id": remote.LAST}
    script.answers[f"{BUFFER}.append"] = [{"type": "error", "error": {"message": "what?"}}]
    script.answers[f"{BUFFER}.commit"] = [{"type": "error", "error": error}]
    [event] = await events_of(url)
    assert isinstance(event, CommandRefused)
    assert str(event.error) == "what?"


async def test_settings_that_the_server_refuses_end_the_session(url, script):
    error = {"message": "language: unknown", "event_id": remote.SETTING}
    script.answers["session.update"] = [{"type": "error", "error": error}]
    with pytest.raises(Refused, match="the server refuses: language: unknown"):
        await events_of(url)


@pytest.mark.parametrize(
    "sent", ["[]", "no JSON", json.dumps({"type": f"{ITEM}.delta", "item_id": "a"})]
)
async def test_what_is_no_event_ends_the_session(url, script, sent):
    script.answers[f"{BUFFER}.append"] = [sent]
    with pytest.raises(Refused, match="what is no event"):
        await events_of(url)


async def test_a_server_that_ends_the_session_says_why(url, script):
    script.answers.clear()
    script.close = (1013, b"the server is overloaded")
    with pytest.raises(Refused, match=r"ended the session \(1013\): the server is overloaded"):
        await events_of(url)


async def test_a_connection_that_is_lost_is_no_refusal(aiohttp_server):
    async def lost(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        request.transport.abort()
        return socket

    app = web.Application()
    app.router.add_get("/v1/realtime", lost)
    url = str((await aiohttp_server(app)).make_url(""))
    with pytest.raises(Unreachable, match="the connection to the server was lost"):
        await events_of(url)


async def test_audio_may_be_sent_to_a_session_that_has_ended(url, script):
    script.close = (1001, b"")
    async with remote.opened(url, None, 16_000, Options()) as session:
        await session.append(b"\1\2")
        with pytest.raises(Refused, match="1001"):
            async for _ in session.events():
                pass
        await session.append(b"\1\2")
        await session.finish()


async def test_a_refusal_says_what_the_server_says(aiohttp_server):
    async def full(_):
        error = {"error": {"message": "2 sessions are open", "code": "too_many_sessions"}}
        return web.json_response(error, status=429)

    app = web.Application()
    app.router.add_get("/v1/realtime", full)
    url = str((await aiohttp_server(app)).make_url(""))
    with pytest.raises(Refused, match="the server answered 429: 2 sessions are open"):
        await events_of(url)


async def test_a_server_that_answers_without_a_socket_has_no_live_transcription(aiohttp_server):
    async def page(_):
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/v1/realtime", page)
    url = str((await aiohttp_server(app)).make_url(""))
    with pytest.raises(Refused, match="has no live transcription: Invalid response status"):
        await events_of(url)


async def test_where_nothing_answers_is_said():
    with pytest.raises(Unreachable, match="no server can be reached at http://"):
        await events_of(f"http://127.0.0.1:{free_port()}")
