"""Known speakers on the routes that are not OpenAI's: `/asr`, jobs and `/v1/audio/speakers`."""

import base64
import io
import json
from dataclasses import replace

import pytest

from tests.conftest import tone, wav
from tests.support.fake_diarizer import LOUD_VOICE, QUIET_VOICE
from tests.support.forms import form
from tests.support.spoken import dialogue, worded

TALK = wav(dialogue(1.0, 1.0))  # a loud voice, then a quiet one
NAMES, REFERENCES = "known_speaker_names", "known_speaker_references"
JSON = {"Content-Type": "application/json"}
ROUTES = {"/asr": {"diarize": "true"}, "/v1/audio/speakers": {}}


def data_url(data):
    return "data:audio/wav;base64," + base64.b64encode(data).decode()


LOUD, QUIET = data_url(wav(tone(2.5))), data_url(wav(0.2 * tone(2.5)))
KNOWN = {NAMES: ["Ada", "Bob"], REFERENCES: [QUIET, LOUD]}


@pytest.fixture
def engine(engine):
    engine.transcribe, engine.info = worded, replace(engine.info, has_words=True)
    return engine


def fields(known, suffix="[]"):
    return [(f"{name}{suffix}", value) for name, values in known.items() for value in values]


def speakers_of(answer):
    return [part["speaker"] for part in answer.get("chunks", answer.get("segments"))]


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("suffix", ["[]", ""])
async def test_a_form_names_the_known_voices(client, diarizer, path, suffix):
    sent = form(*fields(KNOWN, suffix), file=TALK, **ROUTES[path])
    response = await client.post(path, data=sent)
    assert response.status == 200, await response.text()
    assert speakers_of(await response.json()) == ["Bob", "Ada"]
    [options] = diarizer.begun
    voices = [(each.name, each.voice) for each in options.known]
    assert voices == [("Ada", QUIET_VOICE), ("Bob", LOUD_VOICE)]


@pytest.mark.parametrize("path", ROUTES)
async def test_a_json_object_has_them_as_lists(client, path):
    long = data_url(wav(dialogue(30.0, 30.0)))  # more than a mebibyte, behind the other data URIs
    for url in (data_url(TALK), long):
        body = io.BytesIO(json.dumps({**KNOWN, **ROUTES[path], "url": url}).encode())
        response = await client.post(path, data=body, headers=JSON)
        assert response.status == 200, await response.text()
        assert set(speakers_of(await response.json())) == {"Bob", "Ada"}


@pytest.mark.parametrize("path", ROUTES)
async def test_who_is_not_heard_is_named_in_a_warning(client, path):
    alone = form(*fields(KNOWN), file=wav(tone(2.0)), **ROUTES[path])
    response = await client.post(path, data=alone)
    assert set(speakers_of(await response.json())) == {"Bob"}
    assert "Ada" in response.headers["X-Warnings"]


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("known", "named"),
    [
        ({NAMES: ["Ada"]}, "one reference for each name"),
        ({NAMES: ["Ada", "Bob"], REFERENCES: [LOUD, "https://a.example/b"]}, f"{REFERENCES}[1]"),
        ({NAMES: ["Ada"], REFERENCES: [data_url(wav(tone(1.0)))]}, "1.0 s"),
        ({NAMES: list("abcde"), REFERENCES: [LOUD] * 5}, "more than 4"),
    ],
)
async def test_what_cannot_be_used_is_named(client, path, known, named):
    response = await client.post(path, json={**known, **ROUTES[path], "url": data_url(TALK)})
    assert (response.status, named in await response.text()) == (400, True), await response.text()


async def test_without_diarize_they_have_no_effect_and_strict_refuses_them(client, diarizer):
    response = await client.post("/asr", data=form(*fields(KNOWN), file=TALK))
    assert (response.status, diarizer.begun) == (200, [])
    assert f"{NAMES} has no effect without diarize=true" in response.headers["X-Warnings"]
    response = await client.post("/asr", data=form(*fields(KNOWN), file=TALK, strict="true"))
    assert (response.status, "diarize=true" in await response.text()) == (400, True)


@pytest.mark.parametrize(("path", "asked"), [("/jobs", {}), ("/asr", {"async": "true"})])
async def test_a_job_refuses_them(client, path, asked):
    response = await client.post(path, data=form(*fields(KNOWN), file=TALK, diarize="1", **asked))
    assert (response.status, NAMES in await response.text()) == (400, True), await response.text()
