"""A form is read while its file still arrives; fields may follow; a file needs no name."""

import asyncio
import io
import json

import pytest

from tests.conftest import tone, wav
from tests.support.forms import PATH, events, slow_form, transcribe
from tests.support.raw_audio import raw

PATHS = ["/asr", PATH, "/api/v1/audio/transcriptions"]


def body(*parts):
    """Return a request's body and headers; of each part its header lines and its bytes."""
    whole = b"".join(
        b"--b\r\nContent-Disposition: form-data; name="
        + head.encode()
        + b"\r\n\r\n"
        + data
        + b"\r\n"
        for head, data in parts
    )
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return {"data": io.BytesIO(whole + b"--b--\r\n"), "headers": headers}


@pytest.mark.parametrize("head", ['; filename="f"', "", "\r\nContent-Type: audio/basic"])
async def test_text_is_streamed_while_the_file_is_still_being_sent(make_client, head):
    client = await make_client(chunk_length_s=2.0)
    sent = asyncio.Event()
    late = [("model", "whisper-1"), ("language", "")]
    form = slow_form(("stream", "true"), after=late, sent=sent, head=head)
    response = await client.post(PATH, **form)
    while not (line := await response.content.readline()).startswith(b"data: "):
        pass  # a loaded machine: the heart beats before the first window is transcribed
    assert json.loads(line[6:])["type"] == "transcript.text.delta"
    assert not sent.is_set()
    sent.set()
    assert await response.content.readline() == b"\n"
    assert (await events(response))[-1]["type"] == "transcript.text.done"


async def test_a_field_after_a_streamed_file_may_not_change_what_is_done(make_client):
    client = await make_client(chunk_length_s=2.0)
    sent = asyncio.Event()
    late = [("language", "es")]
    response = await client.post(PATH, **slow_form(("stream", "true"), after=late, sent=sent))
    sent.set()
    error = (await events(response))[-1]["error"]
    assert (error["param"], "send the file last" in error["message"]) == ("language", True)


async def test_a_field_after_the_file_counts_where_the_stream_is_asked_after_it_too(client):
    response = await transcribe(client, ("stream", "true"), ("response_format", "srt"))
    assert (await events(response))[-1]["text"].startswith("1\n00:00:00,000 --> ")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "kind", ["", "audio/wav", "application/octet-stream", "text/plain; charset=utf-8"]
)
async def test_a_file_without_a_name_is_the_audio(client, path, kind):
    head = "file" + (f"\r\nContent-Type: {kind}" if kind else "")
    for seconds in (0.001, 60.0):  # a few bytes, and more than all text fields may have
        form = body((head, wav(tone(seconds))), ("language", b"es"))
        response = await client.post(path, **form)
        assert response.status == 200, await response.text()
        assert float(response.headers["X-Audio-Length"]) == pytest.approx(seconds, abs=0.001)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "text", [b"https://example.com/a.mp3", b"talks/a.wav", "ä".encode() * 40, b"UklG" * 2**20]
)
async def test_text_as_the_file_is_refused_with_what_to_send(client, path, text):
    response = await client.post(path, **body(("file", text)))
    assert response.status == 400
    error = await response.text()
    assert "the part 'file' is text, not audio: send the bytes of an audio file" in error
    assert "its address as 'url'" in error


@pytest.mark.parametrize("path", PATHS)
async def test_an_empty_file_without_a_name_is_none(client, path):
    response = await client.post(path, **body(("file", b"")))
    assert response.status == 400
    assert "the form has no file: send the audio as the part 'file', or" in await response.text()
    with_url = body(("file", b""), ("url", b"data:audio/wav;base64,UklGRg=="))
    assert "no file" not in await (await client.post(path, **with_url)).text()


@pytest.mark.parametrize("path", PATHS)
async def test_a_second_file_is_refused_whether_it_has_a_name_or_not(client, path):
    clip = wav(tone(0.1))
    response = await client.post(path, **body(("file", clip), ('file; filename="a"', clip)))
    assert response.status == 400
    assert "two parts 'file'" in await response.text()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", ["", '; filename="a.pcm"'])
async def test_a_parts_content_type_declares_raw_samples(client, path, name):
    sound = raw(tone(2.0), "audio/L16")
    kind = "audio/L16;rate=16000;channels=1"
    response = await client.post(path, **body((f"file{name}\r\nContent-Type: {kind}", sound)))
    assert float(response.headers["X-Audio-Length"]) == 2.0, await response.text()
    assert (await response.json())["text"].strip() == "2.00 s"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("fields", [[], [("stream", b"true")]])
async def test_raw_samples_that_are_declared_wrongly_are_refused_before_an_answer_begins(
    client, path, fields
):
    part = ('file; filename="a"\r\nContent-Type: audio/pcm;rate=0', bytes(10_000))
    response = await client.post(path, **body(*fields, part))
    assert response.status == 400
    assert "audio/pcm has rate=0: send a whole number from 1000" in await response.text()
