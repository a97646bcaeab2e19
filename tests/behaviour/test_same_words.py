"""The same words in every format, streamed or whole, alone or among 31 others (float32)."""

from __future__ import annotations

import asyncio
import json
import random
from itertools import product
from typing import Any

import aiohttp
import pytest

from benchmark.recordings import flac
from models.demo import synthesise
from tests.clients.readers import readings
from tests.conftest import Server

FORMATS = ("json", "verbose_json", "text", "srt", "vtt", "tsv")
ASKED = 32  # at once
OPTIONS: tuple[dict[str, str], ...] = ({}, {"language": "en"}, {"prompt": "Good morning."})

# Which of the clips, how, in which format, and whether streamed.
Request = tuple[int, int, str, bool]
SHORT, LONG = [
    list(product(which, range(len(OPTIONS)), FORMATS, (False, True)))
    for which in (range(3), range(3, 4))
]


@pytest.fixture(scope="module")
def clips() -> list[bytes]:
    """From one sentence to more than a window; the longest is the rarest."""
    lengths = ((2.5, "en"), (4.0, "es"), (9.0, "en"), (33.0, "en"))
    made = [synthesise.recording(s, language, seed=70) for s, language in lengths]
    return [flac(one.samples) for one in made]


def test_the_words_are_the_same_alone_and_among_others(server: Server, clips: list[bytes]) -> None:
    chance = random.Random(0)
    requests = chance.sample(SHORT, ASKED - 4) + chance.sample(LONG, 4)
    chance.shuffle(requests)
    drawn = [set(values) for values in zip(*requests, strict=True)]
    assert drawn == [{0, 1, 2, 3}, {0, 1, 2}, set(FORMATS), {False, True}]
    assert asyncio.run(differences(server.url, clips, requests)) == {}


async def differences(
    url: str, clips: list[bytes], requests: list[Request]
) -> dict[Request, tuple[list[str], list[str]]]:
    """What was written otherwise than for a caller who was alone."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        together = await asyncio.gather(*(words(session, url, clips, r) for r in requests))
        alone = {}
        for clip, how, *_ in requests:
            if (clip, how) not in alone:
                alone[clip, how] = await words(session, url, clips, (clip, how, "json", False))
    assert all(alone.values())
    pairs = {
        request: (alone[request[:2]], written)
        for request, written in zip(requests, together, strict=True)
    }
    return {request: pair for request, pair in pairs.items() if pair[0] != pair[1]}


async def words(
    session: aiohttp.ClientSession, url: str, clips: list[bytes], request: Request
) -> list[str]:
    clip, how, response_format, is_streamed = request
    form = aiohttp.FormData({"response_format": response_format, **OPTIONS[how]})
    if is_streamed:
        form.add_field("stream", "true")
    form.add_field("file", clips[clip], filename="clip")
    async with session.post(url + "/v1/audio/transcriptions", data=form) as response:
        body = await response.text()
        assert response.status == 200, body
    if is_streamed:
        body = last_event(body)["text"]
    elif "json" in response_format:
        body = json.loads(body)["text"]
    text_format = "text" if "json" in response_format else response_format
    [found, *others] = readings(text_format, body).values()
    assert all(other == found for other in others)
    return found


def last_event(body: str) -> dict[str, Any]:
    lines = [line for line in body.splitlines() if line.startswith("data: ")]
    event: dict[str, Any] = json.loads(lines[-1].removeprefix("data: "))
    assert event["type"] == "transcript.text.done", event
    return event
