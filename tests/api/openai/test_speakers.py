"""Who speaks, in OpenAI's dialect: formats, streams, known voices, and what is refused."""

import base64
from dataclasses import replace

import numpy as np
import pytest

from asr.http.bodies.multipart import FIELD_BYTES, LONG_BYTES
from asr.options import SpeakerOptions
from tests.conftest import tone, wav
from tests.support.fake_diarizer import LOUD_VOICE, QUIET_VOICE
from tests.support.forms import PATH, events, form, problem
from tests.support.spoken import dialogue, worded

TALK = wav(dialogue(1.0, 1.0))  # " w00 w01" and " w02 w03"
NAMES, REFERENCES = "known_speaker_names[]", "known_speaker_references[]"


@pytest.fixture
def engine(engine):
    engine.transcribe, engine.info = worded, replace(engine.info, has_words=True)
    return engine


async def answered(client, *fields, file=TALK, path=PATH, **named):
    response = await client.post(path, data=form(*fields, file=file, **named))
    assert response.status == 200, await response.text()
    return response


async def refused(client, *fields, **named):
    response = await client.post(PATH, data=form(*fields, **named))
    return response.status, await problem(response)


def data_url(samples):
    return "data:audio/wav;base64," + base64.b64encode(wav(samples)).decode()


LOUD, QUIET = data_url(tone(2.5)), data_url(0.2 * tone(2.5))


async def test_diarized_json_has_a_segment_for_each_speaker(client, diarizer):
    response = await answered(
        client, response_format="diarized_json", model="gpt-4o-transcribe-diarize"
    )
    assert "X-Warnings" not in response.headers
    segments = [(" w00 w01", 0.0, 1.0, "A"), (" w02 w03", 1.0, 2.0, "B")]
    assert await response.json() == {
        "task": "transcribe",
        "duration": 2.0,
        "text": "w00 w01 w02 w03",
        "segments": [
            {
                "type": "transcript.text.segment",
                "id": f"seg_00{number}",
                "start": start,
                "end": end,
                "text": text,
                "speaker": speaker,
            }
            for number, (text, start, end, speaker) in enumerate(segments, 1)
        ],
        "usage": {"type": "duration", "seconds": 2},
    }
    assert diarizer.begun == [SpeakerOptions()]


async def test_silence_has_no_segments(client):
    silence = wav(np.zeros(32_000, np.float32))
    answer = await (await answered(client, file=silence, response_format="diarized_json")).json()
    assert (answer["segments"], answer["text"], answer["duration"]) == ([], "", 2.0)
    lines = await answered(client, file=silence, response_format="rttm")
    assert await lines.text() == ""


async def test_with_diarize_other_formats_name_the_speakers(client):
    granularities = [("timestamp_granularities[]", each) for each in ("segment", "word")]
    asked = {"diarize": "true", "response_format": "verbose_json"}
    answer = await (await answered(client, *granularities, **asked)).json()
    assert [each["speaker"] for each in answer["segments"]] == ["SPEAKER_00", "SPEAKER_01"]
    assert [each["speaker"][-1] for each in answer["words"]] == list("0011")
    written = {
        wanted: await (await answered(client, response_format=wanted, diarize="true")).text()
        for wanted in ("srt", "vtt", "rttm")
    }
    assert written == {
        "srt": "1\n00:00:00,000 --> 00:00:01,000\nSPEAKER_00: w00 w01\n\n"
        "2\n00:00:01,000 --> 00:00:02,000\nSPEAKER_01: w02 w03\n\n",
        "vtt": "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n<v SPEAKER_00>w00 w01\n\n"
        "00:00:01.000 --> 00:00:02.000\n<v SPEAKER_01>w02 w03\n\n",
        "rttm": "SPEAKER audio 1 0.000 1.000 <NA> <NA> SPEAKER_00 <NA> <NA>\n"
        "SPEAKER audio 1 1.000 1.000 <NA> <NA> SPEAKER_01 <NA> <NA>\n",
    }


async def test_translations_have_speakers_too(client):
    path = "/v1/audio/translations"
    response = await answered(client, path=path, response_format="diarized_json")
    answer = await response.json()
    assert answer["task"] == "translate"
    assert [each["speaker"] for each in answer["segments"]] == ["A", "B"]


@pytest.mark.parametrize("wanted", ["diarized_json", "json"])
async def test_a_streams_segments_have_their_speakers_after_its_text(client, wanted):
    asked = {"response_format": wanted, "stream": "true", "diarize": "true"}
    sent = await events(await answered(client, **asked))
    kinds = [event["type"].removeprefix("transcript.text.") for event in sent]
    assert kinds == ["delta", "segment", "segment", "done"]
    assert [(e["id"], e["text"], e["speaker"]) for e in sent[1:3]] == [
        ("seg_001", " w00 w01", "A"),
        ("seg_002", " w02 w03", "B"),
    ]
    assert sent[-1]["text"] == sent[0]["delta"] == "w00 w01 w02 w03"


@pytest.mark.parametrize("wanted", ["srt", "vtt", "lrc", "diarized_json"])
async def test_a_stream_with_speakers_is_the_whole_answer(client, wanted):
    asked = {"response_format": wanted, "diarize": "true"}
    *_, done = await events(await answered(client, **asked, stream="true"))
    whole = await answered(client, **asked)
    body = (await whole.json())["text"] if wanted == "diarized_json" else await whole.text()
    assert done["text"] == body


async def test_without_diarization_a_streams_segments_have_an_empty_speaker(client, diarizer):
    sent = await events(await answered(client, stream="true"))
    assert [event["speaker"] for event in sent if "speaker" in event] == [""]
    assert diarizer.begun == []


async def test_known_voices_are_named_wherever_they_speak(client, diarizer):
    known = [(NAMES, "Ada"), (NAMES, "Bob"), (REFERENCES, QUIET), (REFERENCES, LOUD)]
    answer = await (await answered(client, *known, response_format="diarized_json")).json()
    assert [each["speaker"] for each in answer["segments"]] == ["Bob", "Ada"]
    [options] = diarizer.begun
    assert [(each.name, each.voice) for each in options.known] == [
        ("Ada", QUIET_VOICE),
        ("Bob", LOUD_VOICE),
    ]
    subtitles = await (await answered(client, *known, response_format="srt", diarize="1")).text()
    assert "\nBob: w00 w01\n" in subtitles


async def test_a_known_voice_that_nobody_has_is_a_warning_and_others_stay_letters(client):
    known = [(NAMES, "Ada"), (REFERENCES, QUIET)]
    alone = wav(tone(2.0))
    response = await answered(client, *known, file=alone, response_format="diarized_json")
    answer = await response.json()
    assert {each["speaker"] for each in answer["segments"]} == {"A"}
    assert "Ada" in " ".join(answer["warnings"])
    assert "Ada" in response.headers["X-Warnings"]


async def test_the_numbers_of_speakers_reach_the_diarizer(client, diarizer):
    asked = {"response_format": "diarized_json", "min_speakers": "2", "max_speakers": "4"}
    await answered(client, **asked)
    await answered(client, response_format="rttm", num_speakers="3")
    assert diarizer.begun == [SpeakerOptions(None, 2, 4), SpeakerOptions(3)]


async def posted(client, reference):
    """Send a form with a long reference in pieces, as clients send their forms."""
    parts = [(NAMES, b"Ada"), (REFERENCES, reference), ("response_format", b"diarized_json")]

    async def body():
        for name, value in parts:
            yield f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
            for start in range(0, len(value), 2**18):
                yield value[start : start + 2**18]
            yield b"\r\n"
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        yield TALK + b"\r\n--b--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return await client.post(PATH, data=body(), headers=headers)


async def test_a_reference_may_be_longer_than_other_fields_but_not_endless(client):
    uncompressed = wav(np.stack([tone(10.0, 48_000)] * 2, axis=1), 48_000, subtype="FLOAT")
    url = b"data:audio/wav;base64," + base64.b64encode(uncompressed)
    assert FIELD_BYTES < len(url) < LONG_BYTES
    answer = await (await posted(client, url)).json()
    assert [each["speaker"] for each in answer["segments"]] == ["Ada", "B"]
    response = await posted(client, b"d" * (LONG_BYTES + 1))
    assert (response.status, "8 MiB" in (await problem(response)).message) == (413, True)


GOOD = [(NAMES, "Ada"), (REFERENCES, LOUD)]


@pytest.mark.parametrize(
    ("fields", "status", "param", "named"),
    [
        ([*GOOD, (NAMES, "Bob")], 400, "known_speaker_names", "2 known_speaker_names"),
        ([(REFERENCES, LOUD)], 400, "known_speaker_references", "one reference for each name"),
        ([*GOOD, *GOOD], 400, "known_speaker_names", "the same name"),
        ([(NAMES, "x" * 101), (REFERENCES, LOUD)], 400, "known_speaker_names[0]", "100"),
        ([*GOOD, (NAMES, "B"), (REFERENCES, "https://a.example/b.wav")], 400, "[1]", "data URL"),
        ([*GOOD, (NAMES, "B"), (REFERENCES, "data:audio/wav;base64,UklGR")], 400, "[1]", "base64"),
        ([*GOOD, (NAMES, "B"), (REFERENCES, "data:,x")], 400, "[1]", "decoded"),
        ([*GOOD, (NAMES, "B"), (REFERENCES, data_url(tone(1.0)))], 400, "[1]", "1.0 s"),
        ([*GOOD, (NAMES, "B"), (REFERENCES, data_url(tone(12.0)))], 400, "[1]", "more than 10 s"),
        ([*GOOD, (NAMES, "B"), (REFERENCES, data_url(0 * tone(3.0)))], 400, "[1]", "nobody speaks"),
        ([(REFERENCES, "data:,")] * 5, 413, None, "more than 4"),
        ([("num_speakers", "2"), ("min_speakers", "3")], 400, "num_speakers", "min_speakers"),
        ([("max_speakers", "2"), ("min_speakers", "3")], 400, "min_speakers", "max_speakers"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
async def test_what_cannot_be_told_of_speakers_is_refused(client, fields, status, param, named):
    found, error = await refused(client, *fields, response_format="diarized_json", file=TALK)
    assert (found, named in error.message) == (status, True), error.message
    assert (error.param or "").endswith(param or "")


@pytest.mark.parametrize(
    ("fields", "param", "named"),
    [
        ({"response_format": "diarized_json"}, "response_format", "diarized_json needs a diarizer"),
        ({"response_format": "srt", "diarize": "true"}, "diarize", "diarize needs a diarizer"),
    ],
)
@pytest.mark.parametrize("stream", ["true", "false"])
async def test_without_a_diarizer_the_setting_is_named(make_client, fields, param, named, stream):
    client = await make_client(diarizer="off")
    status, error = await refused(client, **fields, stream=stream)
    assert (status, error.param) == (400, param)
    assert named in error.message
    assert "DIARIZER=off" in error.message
