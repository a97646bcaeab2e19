"""Jobs over HTTP: every door, what is told of them, results in every format, and cancels."""

import asyncio
import base64
import errno
import io
import json
import os
from dataclasses import replace

import pytest
from aiohttp import FormData, web
from standardwebhooks import Webhook
from yarl import URL

from asr.api.jobs.webhook import JobEnded
from asr.config.keys import parse_keys
from asr.errors import StoreUnavailable
from asr.http.app_keys import JOBS, SCHEDULER
from tests.conftest import PATIENCE_SECONDS, eventually, tone, wav
from tests.support.spoken import dialogue, worded

SPEECH = wav(tone(2.0))
LONG = wav(tone(100.0, 4000), 4000)
NOISE = bytes(range(128, 256)) * 100
URI = "data:audio/wav;base64," + base64.b64encode(SPEECH).decode()
SECRET = "whsec_" + base64.b64encode(b"s" * 24).decode()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr("asr.jobs.service.POLL_SECONDS", 0.01)
    monkeypatch.setattr("asr.jobs.worker.TELL_SECONDS", 0.01)


async def sent(client, data=SPEECH, path="/jobs", **how):
    response = await client.post(path, data=data, **how)
    assert response.status in {200, 202}, await response.text()
    return await response.json()


async def ended(client, job):
    jobs = client.app[JOBS]
    await jobs.wait(job["id"], "")
    return await (await client.get(f"/jobs/{job['id']}")).json()


def doors(root):
    (root / "clip.wav").write_bytes(SPEECH)
    form = FormData()
    form.add_field("file", SPEECH, filename="../../etc/passwd")
    form.add_field("language", "en")
    raw = {"Content-Type": "audio/L16;rate=16000"}
    samples = (tone(2.0) * 32767).astype(">i2").tobytes()
    return {
        "bytes": {"data": SPEECH},
        "form": {"data": form},
        "raw": {"data": samples, "headers": raw},
        "path": {"json": {"url": "clip.wav"}},
        "file URL": {"json": {"url": f"file://{root}/clip.wav"}},
        "data URI": {"json": {"url": URI, "language": "en"}},
    }


DOORS = ["bytes", "form", "raw", "path", "file URL", "data URI"]


@pytest.mark.parametrize("path", ["/jobs", "/asr?async=true"])
@pytest.mark.parametrize("door", DOORS)
async def test_audio_comes_in_by_every_door(make_client, tmp_path, door, path):
    client = await make_client(audio_root=tmp_path)
    response = await client.post(path, **doors(tmp_path)[door])
    job = await response.json()
    assert response.status == 202, job
    assert response.headers["Location"] == f"/jobs/{job['id']}"
    assert (job["state"], job["position"]) == ("queued", 0.0)
    found = await ended(client, job)
    assert (found["state"], found["text"]) == ("completed", " 2.00 s"), found
    assert found["progress"] == {"done": 2.0, "total": 2.0}


async def test_async_may_be_a_key_beside_those_of_jobs(client):
    body = {"url": URI, "async": True, "priority": 3, "id": "mine"}
    job = await (await client.post("/asr", json=body)).json()
    assert (job["id"], job["priority"]) == ("mine", 3)


@pytest.mark.parametrize(
    ("wanted", "kind", "start"),
    [
        ("json", "application/json", '{"text":" 2.00 s","chunks":[{"timestamp":[0.0,2.0]'),
        ("text", "text/plain", "2.00 s"),
        ("srt", "text/plain", "1\n00:00:00,000 --> 00:00:02,000\n2.00 s"),
        ("vtt", "text/plain", "WEBVTT\n\n00:00:00.000"),
        ("lrc", "text/plain", "[00:00.00]"),
        ("tsv", "text/plain", "start\tend\ttext\n0\t2000\t2.00 s"),
        ("verbose_json", "application/json", '{"task": "transcribe", "language": "english"'),
    ],
)
async def test_the_result_is_had_in_every_format(client, wanted, kind, start):
    job = await sent(client, params={"response_format": wanted})
    await ended(client, job)
    for query in ("", f"?format={wanted}"):
        response = await client.get(f"/jobs/{job['id']}/result{query}")
        assert response.status == 200
        assert response.content_type == kind
        assert (await response.text()).startswith(start)
    plain = await client.get(f"/jobs/{job['id']}/result?format=text")
    assert await plain.text() == "2.00 s"


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("format=srt&max_line_width=5", "1\n00:00:00,000 --> 00:00:02,000\n2.00\ns\n\n"),
        ("format=lrc&max_line_width=5", "[00:00.00]2.00\n[00:01.33]s\n"),
        ("format=vtt&max_line_width=9&max_line_count=1", "WEBVTT\n\n00:00:00.000 --> "),
        ("format=srt&max_line_width=0", None),
    ],
)
async def test_subtitles_are_as_wide_as_is_asked(client, query, text):
    job = await sent(client)
    await ended(client, job)
    response = await client.get(f"/jobs/{job['id']}/result?{query}")
    found = await response.text()
    assert response.status == (422 if text is None else 200), found
    assert found.startswith(text or '{"error": "max_line_width: must be at least 1')


async def test_there_is_no_result_before_the_end_and_none_of_a_failure(client, engine):
    engine.gate.clear()
    job = await sent(client)
    response = await client.get(f"/jobs/{job['id']}/result")
    assert response.status == 409
    assert "there is a result once it is completed" in (await response.json())["error"]
    engine.gate.set()
    noise = await sent(client, NOISE)
    found = await ended(client, noise)
    assert (found["state"], found["error"]["status"]) == ("failed", 400)
    response = await client.get(f"/jobs/{noise['id']}/result")
    assert response.status == 409
    assert found["error"]["message"] in (await response.json())["error"]


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("response_format=docx", 422, "response_format"),
        ("priority=1000", 422, "priority"),
        ("deadline_s=0", 422, "deadline_s"),
        ("id=a/b", 422, "a job's id"),
        ("language=klingon", 400, "language"),
        ("timestamps=word", 400, "word timestamps"),
        ("stream=true", 400, "no stream"),
        ("strict=1&colour=red", 400, "unknown keys: colour"),
        ("webhook_secret=a", 400, "no webhook to sign"),
        ("webhook=http://127.0.0.1/", 403, "not public"),
        ("webhook=ftp://a.example", 400, "http"),
    ],
)
async def test_what_cannot_be_done_is_refused_and_nothing_is_kept(client, query, status, reason):
    response = await client.post(f"/jobs?{query}", data=SPEECH)
    assert response.status == status
    assert reason in (await response.json())["error"]
    place = await client.app[JOBS]._place()
    assert await place.uploads.older(-60) == []
    assert (await (await client.get("/jobs")).json())["jobs"] == []


@pytest.mark.parametrize("path", ["/jobs", "/asr?async=true"])
async def test_an_empty_body_is_refused_and_not_kept(client, path):
    response = await client.post(path, data=b"")
    assert response.status == 400
    place = await client.app[JOBS]._place()
    assert await place.uploads.older(-60) == []


async def test_a_full_disk_is_a_507_and_nothing_is_half_kept(client, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("asr.jobs.uploads._synced", full)
    response = await client.post("/jobs", data=SPEECH)
    assert response.status == 507
    assert "UPLOADS_URL" in (await response.json())["error"]
    place = await client.app[JOBS]._place()
    assert await place.uploads.older(-60) == []
    assert (await (await client.get("/jobs")).json())["jobs"] == []
    assert (await client.post("/asr", data=SPEECH)).status == 200


@pytest.mark.parametrize("changed_nothing", [True, False])
async def test_audio_is_dropped_where_the_store_has_surely_not_kept_its_job(
    client, monkeypatch, changed_nothing
):
    async def refuse(_):
        raise StoreUnavailable("the disk of JOBS_DIR is full", changed_nothing)

    place = await client.app[JOBS]._place()
    monkeypatch.setattr(place.store, "add", refuse)
    response = await client.post("/jobs", data=SPEECH)
    assert response.status == 503
    assert len(await place.uploads.older(-60)) == (0 if changed_nothing else 1)


async def test_a_repeated_request_is_the_same_job(client):
    key = {"Idempotency-Key": "order 7"}
    first = await sent(client, headers=key)
    await ended(client, first)
    response = await client.post("/jobs", data=SPEECH, headers=key)
    assert (response.status, (await response.json())["id"]) == (200, first["id"])
    other = await client.post("/jobs", data=LONG, headers=key)
    assert other.status == 422
    place = await client.app[JOBS]._place()
    assert await place.uploads.older(-60) == []


async def test_another_clients_job_is_not_there(make_client):
    client = await make_client(api_keys=keys("one", "two"))
    mine, theirs = ({"x-admin-api-key": f"key-{name}" * 4} for name in ("one", "two"))
    response = await client.post("/jobs", data=SPEECH, headers=mine)
    job = await response.json()
    assert response.status == 202, job
    path = f"/jobs/{job['id']}"
    for method, place in (
        ("GET", path),
        ("GET", f"{path}/result"),
        ("GET", f"{path}/events"),
        ("DELETE", path),
        ("POST", f"{path}/redeliver"),
    ):
        assert (await client.request(method, place, headers=theirs)).status == 404
        unknown = place.replace(job["id"], "unknown")
        assert (await client.request(method, unknown, headers=mine)).status == 404
    listed = await (await client.get("/jobs", headers=theirs)).json()
    assert listed == {"jobs": [], "after": None}
    assert (await client.get(path, headers=mine)).status == 200


@pytest.mark.parametrize("job_id", ["%00", "a%0Ab", "%ED%A0%80", "%FF", "a%C3", "%EF%BF%BF"])
async def test_bytes_that_are_no_text_are_no_unknown_id_but_a_400_that_says_what_an_id_is(
    client, job_id
):
    for method, path in (
        ("GET", f"/jobs/{job_id}"),
        ("GET", f"/jobs/{job_id}/result"),
        ("GET", f"/jobs/{job_id}/events"),
        ("DELETE", f"/jobs/{job_id}"),
        ("POST", f"/jobs/{job_id}/redeliver"),
        ("GET", f"/jobs?after={job_id}"),
        ("GET", f"/status/{job_id}"),
        ("DELETE", f"/cancel/{job_id}"),
    ):
        response = await client.request(method, URL(path, encoded=True))
        answer = await response.json()
        assert (response.status, len(answer)) == (400, 1), path
        assert "128 letters of ASCII" in next(iter(answer.values()))


@pytest.mark.parametrize(
    ("path", "form", "task"),
    [
        ("/jobs", {"id": "mine"}, "/jobs/{}"),
        ("/upload", {"managed_task_id": "mine"}, "/status/{}"),
    ],
)
async def test_two_clients_may_choose_the_same_id(make_client, path, form, task):
    client = await make_client(api_keys=keys("one", "two"))
    found = []
    for name, audio in (("one", SPEECH), ("two", LONG)):
        headers = {"x-admin-api-key": f"key-{name}" * 4}
        data = FormData({**form, "file": io.BytesIO(audio)})
        response = await client.post(path, data=data, headers=headers)
        job = await response.json()
        assert (response.status < 300, job.get("id", job.get("task_id"))) == (True, "mine"), job
        await client.app[JOBS].wait("mine", name)
        found.append(await (await client.get(task.format("mine"), headers=headers)).text())
        events = await client.get("/jobs/mine/events", headers=headers)
        assert (await read_events(events))[-1][1]["id"] == "mine"
        result = await client.get("/jobs/mine/result?format=text", headers=headers)
        found.append(await result.text())
        [listed] = (await (await client.get("/jobs", headers=headers)).json())["jobs"]
        assert listed["id"] == "mine"
    assert len(set(found)) == len(found) == 4
    assert all(name + "/" not in text for text in found for name in ("one", "two"))


async def test_jobs_are_listed_by_state_and_page_by_page(client, engine):
    done = [await sent(client) for _ in range(3)]
    for job in done:
        await ended(client, job)
    engine.gate.clear()
    running = await sent(client)
    ids = [job["id"] for job in reversed(done)]
    listed = await (await client.get("/jobs?state=completed&limit=2")).json()
    assert [job["id"] for job in listed["jobs"]] == ids[:2]
    rest = await (await client.get(f"/jobs?state=completed&after={listed['after']}")).json()
    assert ([job["id"] for job in rest["jobs"]], rest["after"]) == (ids[2:], None)
    open_ones = await (await client.get("/jobs?state=queued,running")).json()
    assert [job["id"] for job in open_ones["jobs"]] == [running["id"]]
    for query in ("state=done", "limit=0", "limit=many"):
        assert (await client.get(f"/jobs?{query}")).status == 422
    engine.gate.set()


async def read_events(response, count=None):
    """The events of a stream, up to so many: (id, data)."""
    found = []
    async for line in response.content:
        name, _, value = line.decode().strip().partition(": ")
        if name == "id":
            found.append([value])
        if name == "data":
            found[-1].append(json.loads(value))
            if len(found) == count:
                break
    return found


async def test_a_stream_that_broke_goes_on_and_has_each_segment_once(client):
    job = await sent(client, LONG)
    path = f"/jobs/{job['id']}/events"
    async with client.get(path) as response:
        assert response.content_type == "text/event-stream"
        first = await read_events(response, 2)
    response = await client.get(path, headers={"Last-Event-ID": first[-1][0]})
    rest = await read_events(response)
    *segments, end = first + rest
    assert [data["id"] for _, data in segments] == [f"seg_{n}" for n in range(len(segments))]
    assert (end[1]["type"], end[1]["state"]) == ("job.completed", "completed")
    found = await (await client.get(f"/jobs/{job['id']}")).json()
    assert "".join(data["text"] for _, data in segments) == found["text"]
    assert (await client.get(path, headers={"Last-Event-ID": end[0]})).status == 204
    again = await client.get(path, headers={"Last-Event-ID": "nonsense"})
    assert await read_events(again) == first + rest


async def test_a_cancelled_job_frees_the_engine_and_says_so(client, engine):
    engine.gate.clear()
    job = await sent(client, LONG)
    await eventually(lambda: engine.steps)
    found = await (await client.delete(f"/jobs/{job['id']}")).json()
    assert found["state"] == "cancelled"
    await eventually(lambda: not client.app[SCHEDULER]._requests)
    engine.gate.set()
    assert (await (await client.get(f"/jobs/{job['id']}/result")).json())["error"]
    again = await client.delete(f"/jobs/{job['id']}")
    assert (again.status, (await again.json())["state"]) == (200, "cancelled")


async def test_a_full_queue_refuses_no_job(make_client, engine):
    client = await make_client(max_queue_seconds=1.0)
    engine.gate.clear()
    asking = asyncio.create_task(client.post("/asr", data=SPEECH))
    await eventually(lambda: engine.steps)
    assert (await client.post("/asr", data=SPEECH)).status == 429
    job = await sent(client)
    engine.gate.set()
    await asking
    assert (await ended(client, job))["state"] == "completed"


async def test_the_end_is_told_to_the_webhook_signed(make_client, aiohttp_server):
    received = []

    async def receive(request):
        received.append((dict(request.headers), await request.text()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", receive)
    receiver = await aiohttp_server(app)
    client = await make_client(allow_private_urls=True)
    hook = {"webhook": str(receiver.make_url("/hook")), "webhook_secret": SECRET}
    job = await sent(client, params={**hook, "response_format": "srt"})
    await eventually(lambda: received)
    [(headers, text)] = received
    body = Webhook(SECRET).verify(text, {name.lower(): v for name, v in headers.items()})
    assert (body["type"], body["data"]["id"]) == ("job.completed", job["id"])
    assert body["data"]["result"].startswith("1\n00:00:00,000 --> 00:00:02,000")
    JobEnded.model_validate(body, strict=True, extra="forbid")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = await (await client.get(f"/jobs/{job['id']}")).json()
            if found["deliveries"][0]["state"] == "completed":
                break
    assert [attempt["status"] for attempt in found["deliveries"][0]["attempts"]] == [200]
    again = await client.post(f"/jobs/{job['id']}/redeliver")
    assert again.status == 202
    await eventually(lambda: len(received) == 2)
    assert received[1][0]["webhook-id"] == headers["webhook-id"]


def keys(*names):
    """Return the setting API_KEYS for clients of these names."""
    return parse_keys(",".join(f"{name}={f'key-{name}' * 4}" for name in names))


TALK = wav(dialogue(1.0, 1.0))


@pytest.fixture
def talking(engine):
    engine.transcribe, engine.info = worded, replace(engine.info, has_words=True)


@pytest.mark.usefixtures("talking")
async def test_a_job_that_is_asked_who_speaks_tells_it_in_every_format(client):
    job = await sent(client, data=TALK, path="/jobs?diarize=true&num_speakers=2")
    await ended(client, job)
    found = {}
    for wanted in ("json", "srt", "vtt", "verbose_json", "diarized_json", "rttm", "text"):
        response = await client.get(f"/jobs/{job['id']}/result?format={wanted}")
        assert response.status == 200
        found[wanted] = await response.text()
    speakers = {
        "json": [each["speaker"] for each in json.loads(found["json"])["chunks"]],
        "verbose_json": [e["speaker"] for e in json.loads(found["verbose_json"])["segments"]],
        "diarized_json": [e["speaker"] for e in json.loads(found["diarized_json"])["segments"]],
        "rttm": [line.split()[7] for line in found["rttm"].splitlines()],
    }
    labels = ["SPEAKER_00", "SPEAKER_01"]
    assert speakers == dict.fromkeys(speakers, labels) | {"diarized_json": ["A", "B"]}
    assert "SPEAKER_01: w02 w03" in found["srt"]
    assert "<v SPEAKER_01>w02 w03" in found["vtt"]
    assert found["text"] == "w00 w01 w02 w03"


@pytest.mark.usefixtures("talking")
@pytest.mark.parametrize("wanted", ["rttm", "diarized_json"])
async def test_a_job_for_a_format_of_speakers_is_asked_who_speaks(client, wanted):
    job = await sent(client, data=TALK, path=f"/asr?async=true&response_format={wanted}")
    await ended(client, job)
    response = await client.get(f"/jobs/{job['id']}/result")
    assert response.content_type == ("text/plain" if wanted == "rttm" else "application/json")
    assert "SPEAKER_01" in (text := await response.text()) or '"speaker": "B"' in text


@pytest.mark.parametrize("wanted", ["rttm", "diarized_json"])
async def test_a_job_that_was_not_asked_who_speaks_cannot_tell_it(client, wanted):
    job = await sent(client)
    await ended(client, job)
    response = await client.get(f"/jobs/{job['id']}/result?format={wanted}")
    assert response.status == 400
    assert "diarize=true" in (await response.json())["error"]


async def test_a_job_is_refused_at_once_where_nobody_can_tell_who_speaks(make_client, tmp_path):
    client = await make_client(jobs_dir=tmp_path, diarizer="off")
    for query in ("diarize=true", "response_format=rttm"):
        response = await client.post(f"/jobs?{query}", data=TALK)
        assert response.status == 400
        assert "DIARIZER=off" in (await response.json())["error"]
