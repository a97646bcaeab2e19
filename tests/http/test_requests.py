"""Audio and its options are read from bytes, a form, JSON, a query, a path and a URL."""

import base64
import json

import pytest
from aiohttp import FormData, web

from tests.conftest import tone, wav
from tests.support.sounds import stream

SPEECH = wav(tone(2.0))
ANSWER = {"text": " 2.00 s", "chunks": [{"timestamp": [0.0, 2.0], "text": " 2.00 s"}]}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "application/octet-stream"},
        {"Content-Type": "audio/mpeg"},
        {"Content-Type": "application/x-www-form-urlencoded"},  # what curl --data-binary sends
        {"Content-Type": "text/plain; charset=utf-8"},
    ],
)
async def test_raw_bytes_are_audio_whatever_their_content_type(client, headers):
    response = await client.post("/asr", data=SPEECH, headers=headers)
    assert response.status == 200
    assert await response.json() == ANSWER


async def test_a_body_without_a_length_is_audio(client):
    response = await client.post("/asr", data=stream(SPEECH))
    assert await response.json() == ANSWER


async def test_a_multipart_file_is_audio_and_its_fields_are_options(client, engine):
    form = FormData({"language": "es"})
    form.add_field("file", SPEECH, filename="clip")
    form.add_field("task", "translate")
    response = await client.post("/asr", data=form)
    assert await response.json() == ANSWER
    [[window]] = engine.steps
    assert (window.options.language, window.options.task) == ("es", "translate")


async def test_a_json_body_names_the_audio_whatever_its_content_type(make_client, tmp_path):
    (tmp_path / "clip.wav").write_bytes(SPEECH)
    client = await make_client(audio_root=tmp_path)
    body = json.dumps({"url": str(tmp_path / "clip.wav")}).encode()
    for content_type in ("application/json", "application/octet-stream", "text/plain"):
        headers = {"Content-Type": content_type}
        response = await client.post("/asr", data=b"\n " + body, headers=headers)
        assert await response.json() == ANSWER, content_type


async def test_a_path_may_be_relative_to_the_root(make_client, tmp_path):
    (tmp_path / "clip.wav").write_bytes(SPEECH)
    client = await make_client(audio_root=tmp_path)
    response = await client.post("/asr", json={"url": "clip.wav"})
    assert await response.json() == ANSWER


async def test_a_data_uri_carries_its_audio(client):
    uri = "data:audio/wav;base64," + base64.b64encode(SPEECH).decode()
    assert await (await client.post("/asr", json={"url": uri})).json() == ANSWER


async def test_a_url_is_fetched(make_client, aiohttp_server):
    async def audio(_):
        return web.Response(body=SPEECH)

    app = web.Application()
    app.router.add_get("/clip", audio)
    origin = await aiohttp_server(app)
    client = await make_client(allow_private_urls=True)
    url = str(origin.make_url("/clip"))
    for request in ({"json": {"url": url}}, {"params": {"url": url}}, {"data": {"url": url}}):
        assert await (await client.post("/asr", **request)).json() == ANSWER


async def test_the_query_holds_options_for_raw_bytes(client, engine):
    params = {"language": "Spanish", "temperature": "0.5", "timestamps": "none"}
    response = await client.post("/asr", data=SPEECH, params=params)
    assert await response.json() == {"text": " 2.00 s", "chunks": []}
    [[window]] = engine.steps
    assert (window.options.language, window.options.temperature) == ("es", 0.5)


async def test_languages_have_all_their_codes_on_every_route(client, engine):
    form = FormData({"language": "spa", "response_format": "verbose_json"})
    form.add_field("file", SPEECH, filename="clip")
    answer = await (await client.post("/v1/audio/transcriptions", data=form)).json()
    assert answer["language"] == "spanish"
    await client.post("/asr", data=SPEECH, params={"language": "es-MX"})
    await client.post("/asr", data=SPEECH, params={"languages": "spa,eng"})
    options = [window.options for step in engine.steps for window in step]
    assert [each.language for each in options] == ["es", "es", None]
    assert options[-1].languages == ("es", "en")
    for path in ("/asr?language=gle", "/detect-language?languages=gle"):
        response = await client.post(path, data=SPEECH)
        assert (response.status, "know the language 'gle'" in await response.text()) == (400, True)
