"""A full queue refuses what is to be answered at once, as soon as that is known, and no job."""

import asyncio
import base64
import json

import pytest
from aiohttp import FormData

from asr.http.app_keys import SCHEDULER
from asr.http.queue_place import SMALL_BYTES
from tests.conftest import eventually, tone, wav

SPEECH = wav(tone(2.0))
LONG = wav(tone(3.0))
URI = "data:audio/wav;base64," + base64.b64encode(SPEECH).decode()
HOOK = "https://a.example/"
TASK = {"is_async": True, "webhook": HOOK}


def form(*fields, file_at=None):
    """A form with its file before the field of that number; None: after all."""
    made = FormData()
    for number, (name, value) in enumerate(fields):
        if number == file_at:
            made.add_field("file", LONG, filename="clip.wav")
        made.add_field(name, value)
    if file_at is None:
        made.add_field("file", LONG, filename="clip.wav")
    return {"data": made}


@pytest.fixture
async def full(make_client, engine):
    """A client of a server whose queue is full."""
    client = await make_client(max_queue_seconds=1.0)
    engine.gate.clear()
    asking = asyncio.create_task(client.post("/asr", data=SPEECH))
    await eventually(lambda: engine.steps)
    yield client
    engine.gate.set()
    assert (await asking).status == 200


JOBS = {
    "the query": ("/asr?async=true", {"data": LONG}),
    "the query's other name": ("/asr?is_async=1", {"data": LONG}),
    "a query with a url": (f"/asr?async=true&url={HOOK}", {}),
    "a JSON object": ("/asr", {"json": {"url": URI, "async": True}}),
    "a JSON object of no type": ("/asr", {"data": json.dumps({"url": HOOK, "async": 1}).encode()}),
    "a form's field": ("/asr", form(("async", "true"))),
    "a form without a file": ("/asr", {"data": {"url": URI, "is_async": "yes"}}),
    "a task": ("/", {"json": {"url": URI, **TASK}}),
    "a task with an id": ("/", {"json": {"url": URI, "managed_task_id": "a", **TASK}}),
    "a task's form": ("/upload", form(("is_async", "true"), ("webhook", HOOK))),
    "a task's query": (f"/upload?is_async=true&webhook={HOOK}", form()),
}
OTHERS = {
    "bytes": ("/asr", {"data": LONG}),
    "a JSON object": ("/asr", {"json": {"url": URI, "async": False}}),
    "a form": ("/asr", form(("async", "no"))),
    "a form that says it after its file": ("/asr", form(("async", "true"), file_at=0)),
    "a query that says no": ("/asr?async=false", {"data": LONG}),
    "a query that is invalid": ("/asr?async=maybe", {"data": LONG}),
    "a task that is waited for": ("/", {"json": {"url": URI, "is_async": False}}),
    "a form of such a task": ("/upload", form(("is_async", "false"), ("webhook", ""))),
}


@pytest.mark.parametrize("name", JOBS)
async def test_a_job_is_never_refused(full, name):
    path, body = JOBS[name]
    response = await full.post(path, **body)
    assert response.status in {200, 202}, await response.text()


@pytest.mark.parametrize("name", OTHERS)
async def test_a_request_that_is_answered_at_once_is_refused(full, name):
    path, body = OTHERS[name]
    response = await full.post(path, **body)
    assert response.status == 429
    assert int(response.headers["Retry-After"]) >= 1


async def test_what_says_by_its_head_that_it_is_no_job_is_refused_by_it(full):
    async def endless():
        yield b""
        await asyncio.Event().wait()

    head = {"Content-Type": "audio/wav", "Content-Length": str(SMALL_BYTES + 1)}
    response = await full.post("/asr", data=endless(), headers=head)
    assert response.status == 429


async def test_the_file_of_a_form_that_is_no_job_is_not_waited_for(full):
    async def begun():
        yield b'--x\r\nContent-Disposition: form-data; name="language"\r\n\r\nen\r\n--x\r\n'
        yield b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + SPEECH
        await asyncio.Event().wait()

    head = {"Content-Type": "multipart/form-data; boundary=x"}
    response = await full.post("/asr", data=begun(), headers=head)
    assert response.status == 429


async def test_a_job_that_the_queue_had_a_place_for_gives_it_back(make_client):
    client = await make_client()
    ledger = client.app[SCHEDULER]._ledger
    may_end = asyncio.Event()

    async def slow():
        yield b'--x\r\nContent-Disposition: form-data; name="async"\r\n\r\ntrue\r\n--x\r\n'
        yield b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        await eventually(lambda: ledger.expected == 0)
        yield SPEECH + b"\r\n--x--"
        may_end.set()

    head = {"Content-Type": "multipart/form-data; boundary=x"}
    response = await client.post("/asr", data=slow(), headers=head)
    assert (response.status, may_end.is_set()) == (202, True)


async def test_a_place_is_given_back_however_the_request_ends(make_client):
    client = await make_client()
    for body in (b"no audio", b'{"url": 1}', b"", SPEECH):
        await client.post("/asr", data=body)
    assert client.app[SCHEDULER]._ledger.expected == 0
