"""Odd JSON, data URIs, forms and encodings: each is answered with its reason."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import threading
from typing import Any

import pytest

from asr.http.bodies.percent import form_fields
from tests.behaviour.test_bad_input import WAV, assert_fine, assert_well
from tests.conftest import PATIENCE_SECONDS
from tests.support.forms import form
from tests.support.sounds import encoded, stream

JSON = {
    "list": (b"[]", {400, 422}),
    "number": (b"17", {400, 422}),
    "url of a list": (b'{"url": ["a", "b"]}', {422}),
    "url of an object": (b'{"url": {"a": 1}}', {422}),
    "url of a number": (b'{"url": 17}', {422}),
    "null url": (b'{"url": null}', {422}),
    "empty url": (b'{"url": ""}', {422}),
    "no url": (b"{}", {422}),
    "nested": (b'{"url": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", {400, 422}),
    "nested objects": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, {400, 422}),
    "open braces": (b"{" * 100_000, {400}),
    "nan": (b'{"url": "a", "temperature": NaN}', {422}),
    "infinity": (b'{"url": "a", "temperature": 1e999}', {422}),
    "huge integer": (b'{"url": "a", "x": ' + b"9" * 10_000 + b"}", {400, 403}),
    "large integer": (b'{"url": "a", "temperature": ' + b"9" * 400 + b"}", {422}),
    "no utf-8": (b'{"url": "\xff\xfe"}', {400}),
    "half a surrogate": (b'{"url": "\\ud800"}', {422}),
    "null character": (b'{"url": "a\\u0000b"}', {422}),
    "duplicate keys": (b'{"url": 1, "url": "a"}', {403}),
    "byte order mark": (b'\xef\xbb\xbf{"url": "a"}', {403}),
    "white space before": (b" \r\n\t" * 100 + b'{"url": "a"}', {403}),
    "cut off": (b'{"url": "http://', {400}),
    "junk after": (b'{"url": "a"} {"url": "b"}', {400}),
    "comment": (b'{"url": "a" /* b */}', {400}),
    "single quotes": (b"{'url': 'a'}", {400}),
    "utf-16": ('{"url": "a"}'.encode("utf-16"), {400, 403}),
    "wrong language": (b'{"url": "data:,a", "language": "klingon"}', {400}),
    "language of a list": (b'{"url": "data:,a", "language": []}', {422}),
    "wrong task": (b'{"url": "data:,a", "task": "sing"}', {422}),
    "wrong timestamps": (b'{"url": "data:,a", "timestamps": "letter"}', {422}),
    "long prompt": (b'{"url": "data:,a", "prompt": "' + b"a" * 100_000 + b'"}', {422}),
    "unknown key": (b'{"url": "data:,a", "strict": true, "colour": 1}', {400}),
    "long key": (b'{"url": "data:,a", "strict": true, "' + b"k" * 100_000 + b'": 1}', {400}),
    "too much": (b'{"url": "' + b"a" * (33 * 2**20) + b'"}', {413}),
    "line feeds": (b'{"url": "http://127.0.0.1/\\r\\nERROR forged"}', {403}),
}


@pytest.mark.parametrize("name", JSON)
@pytest.mark.parametrize("kind", ["application/json", "application/octet-stream"])
async def test_odd_json_is_answered_with_its_reason(client: Any, name: str, kind: str) -> None:
    data, statuses = JSON[name]
    async with asyncio.timeout(PATIENCE_SECONDS):
        headers = {"Content-Type": kind}
        response = await client.post("/asr", data=io.BytesIO(data), headers=headers)
        await assert_fine(response, statuses)
    await assert_well(client)


JSON_ROUTES = {
    "/asr": "error",
    "/detect-language": "error",
    "/v1/audio/speakers": "error",
    "/jobs": "error",
    "/": "detail",
    "/upload": "detail",
    "/predict": "detail",
    "/async_predict": "detail",
    "/v1/listen": "err_msg",
    "/v1/realtime/client_secrets": "error",
}


@pytest.mark.parametrize("path", JSON_ROUTES)
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("NaN", "must be a finite number"),
        ("-Infinity", "must be a finite number"),
        ("1e999", "must be a finite number"),
        ('"a\\u0000b"', "must have no null character"),
    ],
)
async def test_a_value_that_no_field_may_have_is_refused_in_every_field_of_every_json(
    client: Any, path: str, value: str, reason: str
) -> None:
    body = f'{{"url": "data:,a", "model_input": {{}}, "max_time": [1, {{"in_queue": {value}}}]}}'
    headers = {"Content-Type": "application/json"}
    response = await client.post(path, data=body.encode(), headers=headers)
    assert response.status in {400, 422}
    said = json.dumps((await response.json())[JSON_ROUTES[path]])
    assert reason in said
    assert "in_queue" in said


TEXT_ROUTES = {
    "/asr": ("error", "prompt"),
    "/jobs": ("error", "prompt"),
    "/v1/audio/transcriptions": ("error", "prompt"),
    "/v1/audio/translations": ("error", "prompt"),
    "/v1/audio/speakers": ("error", "model"),
    "/upload": ("detail", "language"),
    "/predict": ("detail", "language"),
    "/v1/listen": ("err_msg", "keyterm"),
    "/whisper-asr/asr": ("detail", "initial_prompt"),
    "/whisper-asr/detect-language": ("detail", "video_file"),
}


@pytest.mark.parametrize("path", TEXT_ROUTES)
async def test_a_null_character_is_refused_in_the_text_of_every_query_and_form(
    client: Any, path: str
) -> None:
    key, name = TEXT_ROUTES[path]
    part = "audio_file" if "whisper-asr" in path else "file"
    whole = await client.post(path, params={name: "a\0b"}, data=form(part=part))
    answers = [whole]
    if path not in {"/v1/listen", "/whisper-asr/asr", "/whisper-asr/detect-language"}:
        answers.append(await client.post(path, data=form((name, "a\0b"), part=part)))
    for response in answers:
        assert response.status in {400, 422}
        said = json.dumps((await response.json())[key])
        assert "must have no null character" in said
        assert name in said
    encoded_form = await client.post("/asr", data={"prompt": "a\0b", "url": "data:,a"})
    assert "prompt: must have no null character" in await encoded_form.text()


async def test_a_log_line_cannot_be_forged(client: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await client.post("/asr", data=JSON["line feeds"][0])
    await client.get("/nothing%0AERROR%20forged")
    assert caplog.records
    assert not any("\n" in record.getMessage() for record in caplog.records)


ENCODED = base64.b64encode(WAV).decode()
URIS = [
    ("data:", {400}),
    ("data:,", {400}),
    ("data:audio/wav;base64", {400}),
    ("data:audio/wav;base64,", {400}),
    ("data:audio/wav;base64,!!!!", {400}),
    ("data:audio/wav;base64,AAAAA", {400}),
    ("data:audio/wav;base64,UklGRg==", {400}),
    ("data:text/html,<h1>hello</h1>", {400}),
    ("data:audio/wav;base64," + ENCODED[:1001], {400}),
    ("DATA:audio/wav;BASE64," + ENCODED, {200}),
    ("data:;base64," + base64.b64encode(encoded("speech.mp3")).decode(), {200}),
    ("data:audio/wav," + "".join(f"%{byte:02x}" for byte in WAV), {200}),
    ("data:audio/wav;base64," + ENCODED.replace("+", "%2B"), {200}),
]


@pytest.mark.parametrize("number", range(len(URIS)))
async def test_a_data_uri_is_audio_or_is_refused(client: Any, number: int) -> None:
    uri, statuses = URIS[number]
    await assert_fine(await client.post("/asr", json={"url": uri}), statuses)


Part = tuple[str, str | None, bytes]  # name, file name, data


def multipart(*parts: Part) -> bytes:
    whole = b""
    for name, file, data in parts:
        named = f'; filename="{file}"' if file is not None else ""
        head = f'--edge\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
        whole += head.encode() + data + b"\r\n"
    return whole + b"--edge--\r\n"


AUDIO = ("file", "a.wav", WAV)
WHOLE = multipart(AUDIO)
PACKED_PART = (
    b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\n" + ENCODED.encode() + b"\r\n--edge--\r\n"
)
NESTED = (
    b"--edge\r\nContent-Type: multipart/mixed; boundary=in\r\n\r\n"
    b"--in\r\n\r\nx\r\n--in--\r\n--edge--\r\n"
)
NAMELESS = b"--edge\r\nContent-Disposition: form-data\r\n\r\ndata\r\n--edge--\r\n"
FORMS = {
    "plain": (WHOLE, {200}),
    "with fields": (multipart(("language", None, b"en"), AUDIO), {200}),
    "with unknown fields": (multipart(AUDIO, ("model", None, b"whisper-1")), {200}),
    "no file": (multipart(("language", None, b"en")), {400}),
    "empty file": (multipart(("file", "a.wav", b"")), {400}),
    "nothing": (b"", {400}),
    "no parts": (b"--edge--\r\n", {400}),
    "cut in the headers": (WHOLE[:30], {400}),
    "cut in the file": (WHOLE[:500], {400}),
    "no end": (WHOLE.removesuffix(b"--edge--\r\n"), {200, 400}),
    "preamble": (b"hello\r\n" * 100 + WHOLE, {200, 400}),
    "endless preamble": (b"x" * 300_000, {400}),
    "part without headers": (b"--edge\r\n\r\ndata\r\n--edge--\r\n", {400}),
    "part without name": (NAMELESS, {400}),
    "broken header": (b"--edge\r\nno colon here\r\n\r\ndata\r\n--edge--\r\n", {400}),
    "long header": (b"--edge\r\nX: " + b"x" * 100_000 + b"\r\n\r\nd\r\n--edge--\r\n", {400}),
    "many headers": (b"--edge\r\n" + b"X: y\r\n" * 5000 + b"\r\nd\r\n--edge--\r\n", {400}),
    "nested": (NESTED, {400}),
    "many parts": (multipart(*[(f"f{n}", None, b"1") for n in range(500)]), {400}),
    "large field": (multipart(("prompt", None, b"a" * 3_000_000), AUDIO), {413}),
    "large fields": (multipart(*[(f"f{n}", None, b"a" * 100_000) for n in range(50)]), {413}),
    "field of bytes": (multipart(("language", None, b"\xff\xfe"), AUDIO), {400}),
    "bad field": (multipart(("temperature", None, b"hot"), AUDIO), {422}),
    "path as name": (multipart(("file", "../../etc/passwd", WAV)), {200}),
    "null in name": (multipart(("file", "a\0b", WAV)), {200, 400}),
    "packed part": (PACKED_PART, {200}),
}


@pytest.mark.parametrize("name", FORMS)
async def test_an_odd_form_is_answered_with_its_reason(client: Any, name: str) -> None:
    data, statuses = FORMS[name]
    async with asyncio.timeout(PATIENCE_SECONDS):
        headers = {"Content-Type": "multipart/form-data; boundary=edge"}
        response = await client.post("/asr", data=io.BytesIO(data), headers=headers)
        await assert_fine(response, statuses)
    await assert_well(client)


BOUNDARIES = ["", '; boundary=""', "; boundary=other", "; boundary=" + "b" * 200]


@pytest.mark.parametrize("boundary", BOUNDARIES)
async def test_a_form_with_another_boundary_is_refused(client: Any, boundary: str) -> None:
    headers = {"Content-Type": "multipart/form-data" + boundary}
    await assert_fine(await client.post("/asr", data=WHOLE, headers=headers), {400})


PACKED = {
    "no gzip": ("gzip", b"no gzip", {400}),
    "gzip cut off": ("gzip", gzip.compress(WAV)[:-20], {400}),
    "no deflate": ("deflate", b"no deflate", {400}),
    "nonsense": ("nonsense", WAV, {415}),
    "gzip": ("gzip", gzip.compress(WAV), {200}),
}


@pytest.mark.parametrize("name", PACKED)
async def test_a_packed_body_is_transcribed_or_the_callers_mistake(
    client: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    encoding, data, statuses = PACKED[name]
    headers = {"Content-Encoding": encoding}
    async with asyncio.timeout(PATIENCE_SECONDS):
        response = await client.post("/asr", data=data, headers=headers)
        await assert_fine(response, statuses)
    await assert_well(client)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize(
    "name", ["speech.mp3", "stereo.flac", "sound.wma", "narrow.amr", "pcm16.wav"]
)
@pytest.mark.parametrize("size", [5, 2**20])  # bytes that arrive at once
async def test_audio_is_transcribed_where_its_headers_call_it_json(
    client: Any, name: str, size: int
) -> None:
    headers = {"Content-Type": "application/json"}
    response = await client.post("/asr", data=stream(encoded(name)[:60_000], size), headers=headers)
    await assert_fine(response, {200})


NO_OBJECTS = ['["a"]', '"https://a.example/b.mp3"', "https://a.example/b.mp3", "17", "ünï" * 99]


@pytest.mark.parametrize("text", NO_OBJECTS)
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "audio/wav"])
async def test_text_that_is_no_object_is_answered_with_what_was_expected(
    client: Any, text: str, kind: str
) -> None:
    response = await client.post("/asr", data=text.encode(), headers={"Content-Type": kind})
    error = (await response.json())["error"]
    assert response.status == 400
    assert "text, neither audio nor a JSON object" in error
    assert 'send {"url": "..."}' in error


@pytest.mark.parametrize("path", ["/asr", "/detect-language", "/v1/audio/transcriptions"])
@pytest.mark.parametrize(
    ("name", "file", "data"),
    [
        ("audio", "a.mp3", encoded("speech.mp3")),
        ("sound", "a.wav", WAV * 50),  # more than text fields may have
    ],
)
async def test_audio_under_another_name_is_answered_with_its_own(
    client: Any, path: str, name: str, file: str | None, data: bytes
) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=edge"}
    response = await client.post(
        path, data=io.BytesIO(multipart((name, file, data))), headers=headers
    )
    error = await response.text()
    assert response.status == 400, error
    assert f"the form field '{name}' is" in error
    assert "if it is the audio, send it as 'file'" in error


async def test_a_second_file_is_refused(client: Any) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=edge"}
    response = await client.post("/asr", data=multipart(AUDIO, AUDIO), headers=headers)
    await assert_fine(response, {400})
    assert "two parts 'file'" in await response.text()


async def test_countless_values_are_refused_unread(client: Any) -> None:
    data = b'{"url": "data:,", "a": [' + b"0," * 2**18 + b"0]}"
    response = await client.post("/asr", data=io.BytesIO(data))
    assert response.status == 413
    assert "values" in (await response.json())["error"]


async def test_a_url_form_is_read_off_the_loop(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def read(data: bytes) -> list[tuple[str, str]]:
        threads.append(threading.current_thread())
        return form_fields(data)

    monkeypatch.setattr("asr.http.requests.form_fields", read)
    response = await client.post("/asr", data={"url": "data:,"})
    assert response.status == 400
    assert threads
    assert threading.main_thread() not in threads


def takes_numbers(schema: Any) -> bool:
    """Whether a parameter of this schema may be a number, by itself or in a list."""
    if isinstance(schema, list):
        return any(map(takes_numbers, schema))
    if not isinstance(schema, dict):
        return False
    kinds = [schema.get(key) for key in ("anyOf", "items")]
    return schema.get("type") == "number" or any(map(takes_numbers, kinds))


async def test_every_number_that_the_document_describes_has_to_be_finite(client: Any) -> None:
    document = await (await client.get("/openapi.json")).json()
    asked = [
        (path, each["name"])
        for path, item in document["paths"].items()
        for each in item.get("post", {}).get("parameters", ())
        if each["in"] == "query" and takes_numbers(each["schema"])
    ]
    assert {path for path, _ in asked} >= {"/asr", "/v1/listen", "/v1/audio/speakers"}
    for path, name in asked:
        for value in ("nan", "inf", "-inf"):
            response = await client.post(path, params={name: value}, data=form())
            text = await response.text()
            assert response.status in {400, 422}, f"{path}?{name}={value}: {text}"
            assert name in text, text
