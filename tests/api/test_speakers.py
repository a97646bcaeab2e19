"""Who speaks when, without a text: every door, both formats, and what is refused."""

import base64

import numpy as np
import pytest

from asr.api.speakers import SpeakersAnswer
from asr.options import SpeakerOptions
from tests.conftest import wav
from tests.support.forms import form
from tests.support.spoken import dialogue

TALK = wav(dialogue(1.0, 0.5, 0.5))
URI = "data:audio/wav;base64," + base64.b64encode(TALK).decode()
PATH = "/v1/audio/speakers"
TURNS = [(0.0, 1.0, "SPEAKER_00"), (1.0, 1.5, "SPEAKER_01"), (1.5, 2.0, "SPEAKER_00")]
ANSWER = {
    "duration": 2.0,
    "speakers": ["SPEAKER_00", "SPEAKER_01"],
    "segments": [{"start": a, "end": b, "speaker": speaker} for a, b, speaker in TURNS],
}


DOORS = {
    "bytes": lambda: {"data": TALK},
    "url": lambda: {"json": {"url": URI}},
    "form": lambda: {"data": form(file=TALK)},
}


@pytest.mark.parametrize("path", [PATH, "/api/v1/audio/speakers", "/v1/audio/diarization"])
@pytest.mark.parametrize("door", DOORS)
async def test_every_door_leads_to_the_turns_and_no_engine_is_asked(client, engine, path, door):
    response = await client.post(path, **DOORS[door]())
    assert (response.status, await response.json()) == (200, ANSWER)
    SpeakersAnswer.model_validate(await response.json(), extra="forbid")
    assert response.headers["X-Audio-Length"] == "2.0"
    assert engine.steps == []


async def test_rttm_has_a_line_for_each_turn(client):
    response = await client.post(PATH, data=TALK, params={"response_format": "rttm"})
    assert response.content_type == "text/plain"
    assert await response.text() == "".join(
        f"SPEAKER audio 1 {start:.3f} {end - start:.3f} <NA> <NA> {speaker} <NA> <NA>\n"
        for start, end, speaker in TURNS
    )


async def test_silence_has_no_speakers(client):
    response = await client.post(PATH, data=wav(np.zeros(16_000, np.float32)))
    answer = {"duration": 1.0, "speakers": [], "segments": []}
    assert (response.status, await response.json()) == (200, answer)


async def test_the_numbers_of_speakers_reach_the_diarizer(client, diarizer):
    await client.post(PATH, data=form(file=TALK, min_speakers="2", max_speakers="3"))
    await client.post(PATH, json={"url": URI, "num_speakers": 2, "model": "any"})
    assert diarizer.begun == [SpeakerOptions(None, 2, 3), SpeakerOptions(2)]


@pytest.mark.parametrize(("number", "expected"), [(0, TURNS), (1, [(0.0, 2.0, "SPEAKER_00")])])
async def test_the_speakers_of_one_channel_are_told_apart(client, number, expected):
    call = wav(np.stack([dialogue(1.0, 0.5, 0.5), dialogue(2.0)], axis=1))
    response = await client.post(PATH, data=form(file=call, channels=str(number)))
    assert response.status == 200, await response.text()
    segments = (await response.json())["segments"]
    assert [(each["start"], each["end"], each["speaker"]) for each in segments] == expected


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"num_speakers": "0"}, "at least 1"),
        ({"min_speakers": "3", "max_speakers": "2"}, "max_speakers"),
        ({"response_format": "srt"}, "json, rttm"),
        ({"strict": "true", "language": "en"}, "unknown keys: language"),
        ({"audio_track": "3"}, "track"),
    ],
)
async def test_what_cannot_be_asked_is_a_400(client, asked, named):
    response = await client.post(PATH, data=TALK, params=asked)
    assert response.status == 400
    assert named in (await response.json())["error"]["message"]


async def test_without_a_diarizer_the_setting_is_named(make_client):
    client = await make_client(diarizer="off")
    response = await client.post(PATH, data=TALK)
    assert response.status == 400
    assert "DIARIZER=off" in (await response.json())["error"]["message"]
