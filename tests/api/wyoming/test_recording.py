"""What is asked, in which format the audio comes, and that little of it waits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asr.api.wyoming.reader import IncomingEvent
from asr.api.wyoming.recording import (
    WAITING_BYTES,
    ArrivingRecording,
    SentFormat,
    asked_of,
    format_of,
)
from asr.capabilities import EngineInfo
from asr.errors import BadRequest

INFO = EngineInfo("fake", "fake", "none", "cpu", {"en": "english"}, can_prompt=True)
SENT = SentFormat(rate=16_000, width=2, channels=1)


def event(kind: str, **data: Any) -> IncomingEvent:
    return IncomingEvent(kind, data, 0)


def test_the_language_and_the_names_to_be_known_become_options():
    asked = asked_of(
        event(
            "transcribe",
            name="any",
            language="English",
            context={"a": 1},
            vad_sensitivity="relaxed",
            transcript_names=["Lima", "Ottoline"],
            transcript_terms=["thermostat"],
        )
    )
    options = asked.options(INFO)
    assert options.language == "en"
    assert options.vocabulary == ("Lima", "Ottoline", "thermostat")
    assert asked_of(event("transcribe")).options(INFO).vocabulary == ()
    without = EngineInfo("fake", "fake", "none", "cpu", {"en": "english"})
    assert asked.options(without).vocabulary == ()


def test_of_a_large_home_the_first_names_are_known():
    asked = asked_of(event("transcribe", transcript_names=[f"lamp {n}" for n in range(900)]))
    assert len(asked.options(INFO).vocabulary) == 500


def test_a_name_that_cannot_be_used_is_refused():
    asked = asked_of(event("transcribe", transcript_names=["Li\0ma"]))
    with pytest.raises(BadRequest, match="transcript_names"):
        asked.options(INFO)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"language": 7}, "language must be text"),
        ({"language": "x" * 201}, "language must have at most 200 characters"),
        ({"transcript_names": "Lima"}, "transcript_names must be a list"),
        ({"transcript_terms": [{}]}, "transcript_terms.0 must be text"),
        ({"transcript_names": ["a"] * 1001}, "transcript_names must have at most 1000 values"),
    ],
)
def test_what_cannot_be_asked_is_named(data, said):
    with pytest.raises(BadRequest, match=said):
        asked_of(event("transcribe", **data))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "rate is missing"),
        ({"rate": 999}, "rate must be at least 1000"),
        ({"rate": 10**12}, "rate must be at most 768000"),
        ({"rate": float("nan")}, "rate"),
        ({"rate": "fast"}, "rate must be a whole number"),
        ({"rate": 16_000, "width": 5, "channels": 1}, "width must be one of"),
        ({"rate": 16_000, "width": 2, "channels": 0}, "channels must be at least 1"),
        ({"rate": 16_000, "width": 2, "channels": 9}, "channels must be at most 8"),
    ],
)
def test_a_format_that_is_no_pcm_is_named(data, said):
    with pytest.raises(BadRequest, match=said):
        format_of(event("audio-start", **data))


def test_a_chunk_has_the_format_of_its_start():
    assert format_of(event("audio-chunk"), SENT) == SENT
    assert format_of(event("audio-chunk", rate=16_000, timestamp=3), SENT) == SENT
    with pytest.raises(BadRequest, match="another format than it had"):
        format_of(event("audio-chunk", rate=8_000), SENT)


async def test_a_client_waits_while_nothing_is_decoded_and_small_pieces_are_joined():
    recording = ArrivingRecording(SENT)
    for _ in range(4):
        await recording.put(bytes(WAITING_BYTES // 4))
    waiting = asyncio.create_task(recording.put(b"cd"))
    await asyncio.sleep(0)
    assert not waiting.done()
    source = recording.source()
    assert (await anext(source))[:4] == b"RIFF"
    assert await anext(source) == bytes(WAITING_BYTES)
    await waiting
    await recording.put(b"ef")
    await recording.end()
    assert [data async for data in source] == [b"cdef"]
    assert recording.received == WAITING_BYTES + 4
