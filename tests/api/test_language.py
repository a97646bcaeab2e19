"""Which language is spoken: by every door, under every name, without a word written."""

import base64
from dataclasses import replace

import numpy as np
import pytest
from aiohttp import FormData

from asr.api.language import DetectionAnswer
from asr.engines.engine import WindowResult
from tests.conftest import tone, wav
from tests.support.fake_engine import FakeEngine
from tests.support.forms import problem

CLIP = wav(tone(1.0))
UNDER_OPENAI = [
    prefix + "/audio/" + noun
    for prefix in ("/v1", "/api/v1")
    for noun in ("language", "detect-language")
]
PATHS = ["/detect-language", *UNDER_OPENAI]
ANSWER = {
    "language": "es",
    "language_name": "spanish",
    "probability": 0.75,
    "probabilities": {"es": 0.75, "en": 0.25},
}


@pytest.fixture
def engine():
    def decode(window):
        return WindowResult(window, (), "es", probabilities={"en": 0.25, "es": 0.75})

    return FakeEngine(transcribe=decode)


def form(*fields, file=CLIP):
    data = FormData(fields, default_to_multipart=True)
    if file is not None:
        data.add_field("file", file, filename="upload")
    return data


@pytest.mark.parametrize("path", PATHS)
async def test_every_probability_is_given_the_likeliest_first(client, path):
    response = await client.post(path, data=form(("model", "whisper-1")))
    assert response.status == 200, await response.text()
    answer = await response.json()
    assert answer == ANSWER
    assert list(answer["probabilities"]) == ["es", "en"]
    DetectionAnswer.model_validate(answer, extra="forbid")
    assert {"X-Model-ID", "X-Processing-Time", "X-Request-ID"} <= response.headers.keys()


async def test_audio_comes_by_the_doors_of_asr(make_client, tmp_path):
    (tmp_path / "clip.wav").write_bytes(CLIP)
    client = await make_client(audio_root=tmp_path)
    uri = "data:audio/wav;base64," + base64.b64encode(CLIP).decode()
    for request in (
        {"data": CLIP},
        {"json": {"url": uri}},
        {"data": {"url": "clip.wav"}},
        {"params": {"url": "clip.wav"}},
        {"data": form(("url", "clip.wav"), file=None)},
    ):
        response = await client.post("/detect-language", **request)
        assert await response.json() == ANSWER, request


async def test_the_languages_that_may_be_spoken_are_the_callers(client, engine):
    for request in (
        {"data": form(("languages[]", "Spanish"), ("languages[]", "en"))},
        {"data": form(("languages", "es,en"))},
        {"data": CLIP, "params": {"languages": "es,en"}},
    ):
        assert (await client.post("/v1/audio/language", **request)).status == 200
    assert {window.options.languages for [window] in engine.steps} == {("es", "en")}


async def test_only_the_first_window_is_transcribed(make_client, engine):
    client = await make_client(chunk_length_s=2.0)
    await client.post("/detect-language", data=wav(tone(20.0)))
    assert [len(step) for step in engine.steps] == [1]


async def test_of_silence_nothing_is_known(client, engine):
    response = await client.post("/detect-language", data=wav(np.zeros(16_000, np.float32)))
    nothing = {"language": None, "language_name": None, "probability": None, "probabilities": {}}
    assert (response.status, await response.json()) == (200, nothing)
    assert engine.steps == []


@pytest.mark.parametrize("path", UNDER_OPENAI)
@pytest.mark.parametrize(
    ("fields", "param", "named"),
    [
        ([("languages[]", "tlh")], "languages", "it knows en, es"),
        ([("strict", "perhaps")], "strict", "true or false"),
        ([("strict", "true"), ("flavour", "sweet")], None, "flavour"),
    ],
)
async def test_a_field_that_cannot_be_used_is_a_400_in_openais_shape(
    client, path, fields, param, named
):
    response = await client.post(path, data=form(*fields))
    found = await problem(response)
    assert (response.status, found.param) == (400, param)
    assert named in found.message


@pytest.mark.parametrize("path", PATHS)
async def test_failures_are_reported_in_the_shape_of_the_path(client, engine, path):
    async def answer_to(data):
        response = await client.post(path, data=data)
        body = await response.json()
        return response.status, body["error"]["message"] if path in UNDER_OPENAI else body["error"]

    assert await answer_to(form(file=None)) == (
        400,
        "the form has no file: send the audio as the part 'file', or a 'url'",
    )
    status, message = await answer_to(b"no audio\0")
    assert (status, "decoded" in message) == (400, True)
    engine.info = replace(engine.info, languages={})
    status, message = await answer_to(CLIP)
    assert (status, "the model fake cannot detect languages" in message) == (400, True)
