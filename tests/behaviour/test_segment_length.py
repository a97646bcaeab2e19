"""Every answer that has segments has sentences instead, where that is asked."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import FormData

from asr.engines.engine import WindowResult
from asr.transcript import Segment
from tests.conftest import tone, wav
from tests.support.spoken import dialogue, worded

CLIP = wav(tone(4.0))
TALK = wav(dialogue(2.0, 2.0))
OPENAI = "/v1/audio/transcriptions"
MODELS = (" It", " is so.", " Why?", " Be", "cause")  # The segments of the model, 0.5 s each.
SENTENCES = [" It is so.", " Why?", " Because"]


def sentences(window: Any) -> WindowResult:
    places = enumerate(MODELS)
    found = tuple(Segment(0.5 * n, 0.5 * n + 0.5, text) for n, text in places)
    return WindowResult(window, found, "en")


@pytest.fixture(autouse=True)
def transcribes(engine: Any) -> None:
    engine.transcribe = sentences
    engine.info = replace(engine.info, has_words=True)


def form(part: str = "file", audio: bytes = CLIP, **fields: str) -> FormData:
    data = FormData(fields)
    data.add_field(part, audio, filename="a.wav")
    return data


def asked(length: str = "9", **fields: str) -> dict[str, str]:
    return {"segment_length_s": length, **fields}


async def test_the_services_own_route_has_sentences_for_chunks(client: Any) -> None:
    response = await client.post("/asr", params=asked(), data=CLIP)
    found = await response.json()
    assert [chunk["text"] for chunk in found["chunks"]] == SENTENCES
    assert found["chunks"][0]["timestamp"] == [0.0, 1.0]
    assert found["text"] == "".join(MODELS)


async def test_without_it_segments_are_the_models(client: Any) -> None:
    response = await client.post("/asr", data=CLIP)
    assert [chunk["text"] for chunk in (await response.json())["chunks"]] == list(MODELS)


async def test_its_limit_is_the_sentences(client: Any) -> None:
    response = await client.post("/asr", params=asked("1"), data=CLIP)
    texts = [chunk["text"] for chunk in (await response.json())["chunks"]]
    assert texts == [" It is so.", " Why?", " Because"]


async def test_openais_formats_have_sentences(client: Any) -> None:
    response = await client.post(OPENAI, data=form(**asked(response_format="verbose_json")))
    assert [each["text"] for each in (await response.json())["segments"]] == SENTENCES
    response = await client.post(OPENAI, data=form(**asked(response_format="srt")))
    assert (await response.text()).count("-->") == len(SENTENCES)


async def test_a_stream_has_the_same_sentences(client: Any) -> None:
    fields = asked(stream="true", response_format="verbose_json")
    response = await client.post(OPENAI, data=form(**fields))
    lines = (await response.text()).splitlines()
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data")]
    kinds = [event["type"].rpartition(".")[2] for event in events]
    assert [e["text"] for e, k in zip(events, kinds, strict=True) if k == "segment"] == SENTENCES
    assert "".join(e["delta"] for e, k in zip(events, kinds, strict=True) if k == "delta") == (
        "".join(MODELS).strip()
    )
    assert events[-1]["text"] == "".join(MODELS).strip()


async def test_other_dialects_have_sentences_too(client: Any) -> None:
    response = await client.post("/asr?output=txt", params=asked(), data=form("audio_file"))
    assert (await response.text()).splitlines() == [text.strip() for text in SENTENCES]
    response = await client.post("/predict", params=asked(), data=CLIP)
    assert [chunk["text"] for chunk in (await response.json())["chunks"]] == SENTENCES


@pytest.mark.parametrize("stream", ["false", "true"])
async def test_a_sentence_ends_with_its_speaker(client: Any, engine: Any, stream: str) -> None:
    engine.transcribe = worded
    params = asked("30", diarize="true", stream=stream)
    response = await client.post("/asr", params=params, data=TALK)
    text = await response.text()
    if stream == "true":
        events = [json.loads(line) for line in text.splitlines()]
        found = [e["text"] for e in events if e["type"] == "transcript.text.segment"]
    else:
        found = [chunk["text"] for chunk in json.loads(text)["chunks"]]
    assert found == [" w00 w01 w02 w03", " w04 w05 w06 w07"]


@pytest.mark.parametrize("length", ["0.9", "31", "nan", "long", "-1"])
@pytest.mark.parametrize("path", ["/asr", "/asr?output=txt", "/predict", OPENAI])
async def test_other_lengths_are_refused(client: Any, path: str, length: str) -> None:
    fields = asked(length)
    if path == OPENAI:
        response = await client.post(path, data=form(**fields))
    elif "output" in path:
        response = await client.post(path, params=fields, data=form("audio_file"))
    else:
        response = await client.post(path, params=fields, data=CLIP)
    assert response.status in {400, 422}
    assert "segment_length_s" in await response.text()
