"""A form is read while its file still arrives, and fields may follow the file."""

import asyncio
import json

from tests.support.forms import PATH, events, slow_form, transcribe


async def test_text_is_streamed_while_the_file_is_still_being_sent(make_client):
    client = await make_client(chunk_length_s=2.0)
    sent = asyncio.Event()
    late = [("model", "whisper-1"), ("language", "")]
    response = await client.post(PATH, **slow_form(("stream", "true"), after=late, sent=sent))
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
