"""Audio and its options are read from bytes, a form, JSON, a query, a path and a URL."""

import base64
import json
from urllib.parse import urlencode

import pytest
from aiohttp import FormData, web

from tests.conftest import tone, wav
from tests.support.raw_audio import raw
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


@pytest.mark.parametrize("path", ["/asr", "/asr?stream=true"])
@pytest.mark.parametrize(
    ("media_type", "rate"),
    [("audio/L16", 16_000), ("audio/L16", 44_100), ("audio/pcm", 24_000), ("audio/PCMU", 8000)],
)
async def test_a_content_type_declares_raw_samples(client, media_type, rate, path):
    sound = raw(tone(2.0, rate), media_type)
    headers = {"Content-Type": f"{media_type};rate={rate};channels=1"}
    for data in (sound, stream(sound)):
        response = await client.post(path, data=data, headers=headers)
        assert response.status == 200, await response.text()
        assert "2.00 s" in await response.text()
    if "stream" not in path:
        assert float(response.headers["X-Audio-Length"]) == 2.0


async def test_raw_samples_may_begin_like_json_or_white_space(client):
    headers = {"Content-Type": "audio/L16;rate=16000"}
    for first in (b"{\0", b"  {\0", b"\t\n"):
        response = await client.post("/asr", data=first + bytes(64_000), headers=headers)
        assert response.status == 200, await response.text()


@pytest.mark.parametrize(
    "kind", ["audio/pcm", "audio/L16;rate=16000", "audio/basic", "audio/PCMA;rate=0"]
)
async def test_files_and_json_are_what_they_are_under_the_type_of_raw_samples(
    client, make_client, tmp_path, kind
):
    headers = {"Content-Type": kind}
    assert await (await client.post("/asr", data=SPEECH, headers=headers)).json() == ANSWER
    (tmp_path / "clip.wav").write_bytes(SPEECH)
    rooted = await make_client(audio_root=tmp_path)
    for data in (b'{"url": "clip.wav"}', b'\n { "url": "clip.wav"}'):
        response = await rooted.post("/asr", data=data, headers=headers)
        assert await response.json() == ANSWER


async def test_raw_samples_that_are_declared_wrongly_are_refused(client):
    for kind, reason in (
        ("audio/L16", "audio/l16 has no rate: send the rate of the audio with it, as rate=16000"),
        ("audio/pcm;rate=1000000000", "has rate=1000000000: send a whole number from 1000 to"),
        ("audio/pcm;rate=16000;channels=300", "has channels=300: send a whole number from 1 to 8"),
    ):
        response = await client.post("/asr", data=bytes(999), headers={"Content-Type": kind})
        assert response.status == 400
        assert reason in (await response.json())["error"]


async def test_a_data_uri_declares_raw_samples(client):
    sound = base64.b64encode(raw(tone(2.0), "audio/L16")).decode()
    uri = f"data:audio/L16;rate=16000;base64,{sound}"
    assert await (await client.post("/asr", json={"url": uri})).json() == ANSWER
    uri = f"data:audio/L16;base64,{sound}"
    response = await client.post("/asr", json={"url": uri})
    assert (response.status, "has no rate" in await response.text()) == (400, True)


@pytest.mark.parametrize("first", [{}, {"language": "en"}])
@pytest.mark.parametrize("audio", [SPEECH, "https://example.com/a.mp3"])
async def test_audio_in_a_url_encoded_form_is_refused_with_what_to_send(client, first, audio):
    body = urlencode({**first, "file": audio})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = await client.post("/asr", data=body, headers=headers)
    assert response.status == 400
    assert "send the audio in a multipart form" in (await response.json())["error"]


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


def ordered(*names: str) -> FormData:
    """A form with a file, with a URL, or both, in this order."""
    form = FormData()
    for name in names:
        if name == "url":
            form.add_field("url", "https://example.com/a.mp3")
        else:
            form.add_field(name, SPEECH, filename="a.wav")
    return form


@pytest.mark.parametrize(
    "path", ["/asr", "/v1/audio/language", "/v1/listen", "/", "/predict", "/jobs"]
)
async def test_audio_with_a_url_beside_it_is_refused_in_any_order(client, path):
    query = {"url": "https://example.com/a.mp3"}
    for sent in (
        {"params": query, "data": SPEECH},
        {"params": query, "data": ordered("file")},
        {"data": ordered("url", "file")},
        {"data": ordered("file", "url")},
    ):
        response = await client.post(path, **sent)
        assert response.status == 400, sent
        assert "and a 'url' beside it: send one of them" in await response.text()


async def test_options_in_the_body_count_beside_a_url_in_the_query(make_client, tmp_path, engine):
    (tmp_path / "clip.wav").write_bytes(SPEECH)
    client = await make_client(audio_root=tmp_path)
    for sent in ({"json": {"language": "es"}}, {"data": {"language": "es"}}):
        response = await client.post("/asr", params={"url": "clip.wav"}, **sent)
        assert response.status == 200, await response.text()
    assert [window.options.language for step in engine.steps for window in step] == ["es", "es"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/asr", 422),
        ("/jobs", 422),
        ("/", 422),
        ("/v1/audio/language", 400),
        ("/v1/listen", 400),
        ("/v1/realtime/client_secrets", 400),
    ],
)
async def test_json_that_is_no_object_has_the_status_of_its_api(client, path, status):
    headers = {"Content-Type": "application/json"}
    for body in ("[1]", "null"):
        response = await client.post(path, data=body, headers=headers)
        assert response.status == status, await response.text()
