"""What a request's head tells is checked, and memory is reserved, before its body is read."""

import asyncio
import io
import json

import pytest
from aiohttp import FormData

from asr.http import admission
from asr.http.app_keys import MEMORY
from asr.resources.memory_budget import MIB, MemoryBudget
from tests.conftest import eventually, tone, wav
from tests.support.sounds import stream

SPEECH = wav(tone(2.0))
SMALL_MB = 48  # With this budget a body of keys may take some MiB, and a file is soon on disk.


async def test_a_request_holds_memory_until_it_is_answered(client, engine):
    memory = client.app[MEMORY]
    engine.gate.clear()
    asked = asyncio.create_task(client.post("/asr", data=SPEECH))
    await eventually(lambda: engine.steps)
    assert memory.held == admission.REQUEST_BYTES + len(SPEECH)
    engine.gate.set()
    assert (await asked).status == 200
    assert memory.held == 0


async def test_a_body_of_unknown_length_is_taken_for_a_large_one(client, engine):
    engine.gate.clear()
    asked = asyncio.create_task(client.post("/asr", data=stream(SPEECH)))
    await eventually(lambda: engine.steps)
    assert client.app[MEMORY].held == admission.REQUEST_BYTES + admission.BUFFER_BYTES
    engine.gate.set()
    await asked


@pytest.mark.parametrize("body", [b"no audio", b'{"url": 1}', b""])
async def test_a_request_that_fails_holds_no_memory_afterwards(client, body):
    response = await client.post("/asr", data=body)
    assert response.status >= 400
    assert client.app[MEMORY].held == 0


async def test_a_json_object_that_memory_has_no_room_for_is_too_large(make_client):
    client = await make_client(max_memory_mb=SMALL_MB)
    body = json.dumps({"url": "data:," + "x" * (5 * MIB)}).encode()
    response = await client.post("/asr", data=io.BytesIO(body))
    assert response.status == 413
    assert "MAX_MEMORY_MB" in (await response.json())["error"]
    assert client.app[MEMORY].held == 0


async def test_a_form_that_memory_has_no_room_for_is_kept_on_disk(make_client, engine):
    client = await make_client(max_memory_mb=SMALL_MB)
    long = wav(tone(480.0))
    assert MemoryBudget(SMALL_MB * MIB).bodies < len(long) < 16 * MIB
    form = FormData()
    form.add_field("file", io.BytesIO(long), filename="clip")
    response = await client.post("/asr", data=form)
    assert response.status == 200
    assert sum(window.seconds for step in engine.steps for window in step) == pytest.approx(480)


async def test_a_refused_request_is_not_read_and_its_connection_ends(make_client):
    client = await make_client(max_body_mb=1)
    response = await client.post("/asr", data=io.BytesIO(bytes(3 * MIB)))
    assert response.status == 413
    assert response.headers["Connection"] == "close"


async def test_a_small_refused_body_costs_no_connection(make_client):
    client = await make_client(max_body_mb=0.001)
    response = await client.post("/asr", data=bytes(2000))
    assert response.status == 413
    assert "Connection" not in response.headers


async def test_requests_whose_audio_is_not_there_yet_are_counted_by_their_heads(make_client):
    client = await make_client(max_queue_seconds=3)
    release = asyncio.Event()

    async def held():
        yield SPEECH[:20]  # too few bytes to know what they are
        await release.wait()
        yield SPEECH[20:]

    early = [asyncio.create_task(client.post("/asr", data=held())) for _ in range(3)]
    await eventually(lambda: client.app[MEMORY].reservations == len(early))
    late = await client.post("/asr", data=SPEECH)
    assert late.status == 429
    assert "Retry-After" in late.headers
    release.set()
    assert 200 in {(await each).status for each in early}
    assert (await client.post("/asr", data=SPEECH)).status == 200
