"""A client of Insanely Fast Whisper's API, as its README describes it, at a real process.

https://github.com/JigsawStack/insanely-fast-whisper-api#api-usage: every route and every parameter,
with a receiver of webhooks.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
from aiohttp import web

from tests.behaviour.test_speech import SAMPLES
from tests.conftest import PATIENCE_SECONDS, Server
from tests.support.origin import Origin
from tests.support.receiver import Receiver, status

AUDIO = SAMPLES / "en-short.flac"
SAID = "We travel from Lima to Lisbon in September."
SPOKEN = {"language": "None", "batch_size": 24, "timestamp": "chunk", "diarise_audio": False}


class Client:
    """Sends what the README describes; each answer is its status and its JSON."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def ask(self, method: str, path: str, **how: Any) -> tuple[int, Any]:
        headers = {"x-admin-api-key": "an admin key"}
        answer = await asyncio.to_thread(
            requests.request,
            method,
            self._url + path,
            headers=headers,
            timeout=PATIENCE_SECONDS,
            **how,
        )
        return answer.status_code, answer.json()


@pytest.fixture
def client(server: Server) -> Client:
    return Client(server.url)


@pytest.fixture
async def audio_url(origin: Origin) -> str:
    """Return the URL of the recording."""

    async def audio(_: web.Request) -> web.StreamResponse:
        return web.Response(body=AUDIO.read_bytes(), content_type="audio/flac")

    origin.handlers["/audio.flac"] = audio
    return f"http://{origin.private}:{origin.port}/audio.flac"


@dataclass
class Endless:
    """A recording that begins and does not end."""

    url: str
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)
    is_over: asyncio.Event = field(default_factory=asyncio.Event)


@pytest.fixture
async def endless(origin: Origin) -> AsyncIterator[Endless]:
    recording = Endless(f"http://{origin.private}:{origin.port}/endless.flac")

    async def audio(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(AUDIO.read_bytes()[:9000])
        recording.has_begun.set()
        await recording.is_over.wait()
        return response

    origin.handlers["/endless.flac"] = audio
    yield recording
    recording.is_over.set()


def assert_output(output: dict[str, Any]) -> None:
    assert output.keys() == {"text", "chunks"}
    assert output["text"].strip() == SAID
    assert "".join(chunk["text"] for chunk in output["chunks"]) == output["text"]
    for chunk in output["chunks"]:
        assert chunk.keys() == {"timestamp", "text"}
        start, end = chunk["timestamp"]
        assert 0 <= start < end <= 4


async def told(receiver: Receiver) -> dict[str, Any]:
    """Wait for a webhook; return its JSON."""
    [received] = await receiver.arrived(1)
    assert received.headers["Content-Type"] == "application/json"
    return json.loads(received.body)  # type: ignore[no-any-return]


async def test_a_url_is_transcribed_and_the_webhook_is_told_the_same(
    client: Client, audio_url: str, receiver: Receiver
) -> None:
    webhook = {"url": receiver.url, "header": {"Authorization": "Bearer theirs"}}
    sent = {"url": audio_url, "task": "transcribe", **SPOKEN, "webhook": webhook}
    code, answer = await client.ask("POST", "/", json={**sent, "is_async": False})
    assert (code, answer["status"]) == (200, "completed")
    assert answer.keys() == {"output", "status", "task_id"}
    assert_output(answer["output"])
    assert await told(receiver) == answer
    assert receiver.received[0].headers["Authorization"] == "Bearer theirs"


async def test_a_task_in_the_background_is_told_to_the_webhook_and_stays_readable(
    client: Client, audio_url: str, receiver: Receiver
) -> None:
    sent = {"url": audio_url, **SPOKEN, "is_async": True, "managed_task_id": "my-task-1"}
    code, answer = await client.ask("POST", "/", json={**sent, "webhook": {"url": receiver.url}})
    assert (code, answer) == (
        200,
        {
            "detail": "Task is being processed in the background",
            "status": "processing",
            "task_id": "my-task-1",
        },
    )
    body = await told(receiver)
    assert body.keys() == {"output", "status", "task_id"}
    assert (body["status"], body["task_id"]) == ("completed", "my-task-1")
    assert_output(body["output"])
    code, stands = await client.ask("GET", "/status/my-task-1")
    assert (code, stands) == (200, {"status": "completed", "output": body["output"]})
    code, listed = await client.ask("GET", "/tasks")
    assert (code, "my-task-1" in listed["tasks"]) == (200, False)


@pytest.mark.parametrize("path", ["/", "/upload"])
async def test_a_file_is_uploaded_with_the_webhook_as_a_plain_url(
    client: Client, receiver: Receiver, path: str
) -> None:
    fields = {"language": "None", "timestamp": "chunk", "is_async": "true"}
    code, answer = await client.ask(
        "POST",
        path,
        data={**fields, "webhook": receiver.url},
        files={"audio": ("a.flac", AUDIO.read_bytes())},
    )
    assert (code, answer["status"]) == (200, "processing")
    body = await told(receiver)
    assert body["task_id"] == answer["task_id"]
    assert_output(body["output"])


async def test_words_are_the_chunks_of_a_file(client: Client) -> None:
    files = {"file": AUDIO.read_bytes()}
    fields = {"timestamp_granularities": "word"}
    code, answer = await client.ask("POST", "/upload", data=fields, files=files)
    assert code == 200
    assert_output(answer["output"])
    assert [chunk["text"].strip() for chunk in answer["output"]["chunks"]] == SAID.split()


async def test_a_webhook_that_fails_loses_nothing(
    client: Client, audio_url: str, receiver: Receiver
) -> None:
    receiver.answers = [status(500)]
    sent = {"url": audio_url, "webhook": {"url": receiver.url}, "managed_task_id": "my-task-2"}
    code, answer = await client.ask("POST", "/", json=sent)
    assert (code, answer["status"]) == (200, "completed")
    assert_output(answer["output"])
    assert await told(receiver) == answer
    code, stands = await client.ask("GET", "/status/my-task-2")
    assert (code, stands) == (200, {"status": "completed", "output": answer["output"]})


async def test_a_task_that_fails_is_told_with_its_reason(
    client: Client, origin: Origin, receiver: Receiver
) -> None:
    sent = {"url": f"http://{origin.private}:{origin.port}/x", "webhook": {"url": receiver.url}}
    code, answer = await client.ask("POST", "/", json={**sent, "is_async": True})
    assert code == 200
    body = await told(receiver)
    assert body.keys() == {"error", "status", "task_id"}
    assert (body["status"], body["task_id"]) == ("error", answer["task_id"])
    code, stands = await client.ask("GET", f"/status/{answer['task_id']}")
    assert (code, stands) == (200, {"status": "error", "error": body["error"]})


async def test_a_task_that_is_cancelled_ends_and_is_told(
    client: Client, endless: Endless, receiver: Receiver
) -> None:
    sent = {"url": endless.url, "is_async": True, "webhook": {"url": receiver.url}}
    code, answer = await client.ask("POST", "/", json=sent)
    assert code == 200
    task_id = answer["task_id"]
    async with asyncio.timeout(PATIENCE_SECONDS):
        await endless.has_begun.wait()
    assert task_id in (await client.ask("GET", "/tasks"))[1]["tasks"]
    assert await client.ask("GET", f"/status/{task_id}") == (200, {"status": "processing"})
    cancelled = (200, {"status": "cancelled"})
    assert await client.ask("DELETE", f"/cancel/{task_id}") == cancelled
    assert await client.ask("GET", f"/status/{task_id}") == cancelled
    assert task_id not in (await client.ask("GET", "/tasks"))[1]["tasks"]
    body = await told(receiver)
    assert body == {"error": "the task was cancelled", "status": "cancelled", "task_id": task_id}
