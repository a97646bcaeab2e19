"""What all dialects may ask alike reaches the engine, by whichever route and name."""

import base64
import json
from dataclasses import replace

import pytest
from aiohttp import FormData

from asr.options import Options, Thresholds
from tests.conftest import tone, wav
from tests.support.fake_engine import FakeEngine
from tests.support.spoken import dialogue, worded

CLIP = wav(tone(1.0))
OPENAI = "/v1/audio/transcriptions"
TRANSLATIONS = "/v1/audio/translations"


@pytest.fixture
def engine():
    engine = FakeEngine()
    engine.info = replace(engine.info, has_logprobs=True)
    return engine


def form(fields):
    data = FormData(fields)
    data.add_field("file", CLIP, filename="upload")
    return data


async def by_query(client, fields):
    return await client.post("/asr", params=fields, data=CLIP)


async def by_json(client, fields):
    uri = "data:audio/wav;base64," + base64.b64encode(CLIP).decode()
    return await client.post("/asr", data=json.dumps({"url": uri, **fields}))


async def by_url_form(client, fields):
    uri = "data:audio/wav;base64," + base64.b64encode(CLIP).decode()
    return await client.post("/asr", data={**fields, "url": uri})


async def by_form(client, fields):
    return await client.post("/asr", data=form(fields))


async def by_openai(client, fields):
    return await client.post(OPENAI, data=form(fields))


async def by_translation(client, fields):
    return await client.post(TRANSLATIONS, data=form(fields))


WAYS = [by_query, by_json, by_url_form, by_form, by_openai, by_translation]


def options_asked(engine) -> Options:
    [[window]] = engine.steps
    return window.options


@pytest.mark.parametrize("way", WAYS)
async def test_thresholds_and_seed_are_the_requests(client, engine, way):
    fields = {
        "seed": "7",
        "logprob_threshold": "-0.5",
        "compression_ratio_threshold": "2.1",
        "no_speech_threshold": "0.25",
        "strict": "true",
    }
    response = await way(client, fields)
    assert response.status == 200, await response.text()
    assert "X-Warnings" not in response.headers
    asked = options_asked(engine)
    assert asked.thresholds == Thresholds(-0.5, 2.1, 0.25)
    assert asked.seed == 7


@pytest.mark.parametrize("way", WAYS)
async def test_faster_whispers_name_and_list_are_understood(client, engine, way):
    fields = {"log_prob_threshold": "-2", "temperature": "0.2,0.4, 0.6", "strict": "1"}
    response = await way(client, fields)
    assert response.status == 200, await response.text()
    asked = options_asked(engine)
    assert (asked.thresholds.avg_logprob, asked.temperature) == (-2.0, 0.2)


async def test_a_list_of_temperatures_counts_as_its_first(client, engine):
    await client.post(OPENAI, data=form([("temperature[]", "0.0"), ("temperature[]", "0.2")]))
    await by_json(client, {"temperature": [0.4, 0.6]})
    assert [window.options.temperature for [window] in engine.steps] == [0.0, 0.4]


@pytest.mark.parametrize("way", WAYS)
async def test_the_text_before_may_be_the_prompt_of_each_window(make_client, engine, way):
    fields = {"condition_on_previous_text": "true", "strict": "true"}
    response = await way(await make_client(), fields)
    assert response.status == 400, "its model takes no prompt"
    assert "condition_on_previous_text" in await response.text()
    engine.info = replace(engine.info, can_prompt=True)
    response = await way(await make_client(), fields)
    assert response.status == 200, await response.text()
    assert "X-Warnings" not in response.headers


@pytest.mark.parametrize("way", WAYS)
async def test_detection_may_be_restricted_to_some_languages(client, engine, way):
    response = await way(client, {"languages": "es, English,es", "strict": "true"})
    assert response.status == 200, await response.text()
    asked = options_asked(engine)
    assert (asked.language, asked.languages) == (None, ("es", "en"))


async def test_languages_may_be_a_list_or_repeated(client, engine):
    repeated = [("languages[]", "es"), ("languages[]", "en")]
    for way, fields in [
        (by_json, {"languages": ["es", "en"]}),
        (by_query, repeated),
        (by_form, repeated),
        (by_openai, repeated),
    ]:
        response = await way(client, fields)
        assert response.status == 200, await response.text()
    assert {window.options.languages for [window] in engine.steps} == {("es", "en")}


@pytest.mark.parametrize("way", WAYS)
async def test_a_language_that_is_not_known_is_named_with_those_that_are(client, way):
    response = await way(client, {"languages": "en,tlh"})
    assert response.status == 400
    assert "'tlh'; it knows en, es" in await response.text()


@pytest.mark.parametrize("way", WAYS)
async def test_an_audio_track_is_chosen_for_the_decoder_and_no_engine_sees_it(client, engine, way):
    response = await way(client, {"audio_track": "0", "strict": "true"})
    assert response.status == 200, await response.text()
    assert options_asked(engine).audio_track is None
    response = await way(client, {"audio_track": "1"})
    assert response.status == 400
    assert "no audio_track 1: choose one of 0 (wav)" in await response.text()


async def test_the_track_of_a_stream_may_not_follow_its_file(client):
    data = form({"stream": "true"})
    data.add_field("audio_track", "1")
    response = await client.post(OPENAI, data=data)
    assert "audio_track came after the file" in await response.text()


@pytest.mark.parametrize("path", ["/detect-language", "/v1/audio/language"])
async def test_the_language_of_a_track_that_is_not_there_is_not_detected(client, path):
    response = await client.post(path, params={"audio_track": "1"}, data=CLIP)
    assert response.status == 400
    assert "no audio_track 1" in await response.text()


@pytest.mark.parametrize("way", WAYS)
async def test_thresholds_are_a_400_when_strict_where_no_probability_is_known(client, engine, way):
    engine.info = replace(engine.info, has_logprobs=False)
    assert (await way(client, {"no_speech_threshold": "0.5"})).status == 200
    response = await way(client, {"no_speech_threshold": "0.5", "strict": "true"})
    assert response.status == 400
    assert "no_speech_threshold" in await response.text()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"seed": "1.5"}, "seed"),
        ({"audio_track": "-1"}, "audio_track"),
        ({"audio_track": "first"}, "audio_track"),
        ({"seed": str(2**63)}, "seed"),
        ({"logprob_threshold": "-inf"}, "logprob_threshold"),
        ({"log_prob_threshold": "low"}, "log_prob_threshold"),
        ({"no_speech_threshold": "-0.1"}, "no_speech_threshold"),
        ({"compression_ratio_threshold": "nan"}, "compression_ratio_threshold"),
        ({"temperature": "0,warm"}, "temperature"),
    ],
)
@pytest.mark.parametrize("way", [by_json, by_query, by_openai])
async def test_a_value_out_of_range_is_named(client, way, fields, named):
    response = await way(client, fields)
    assert response.status == (400 if way is by_openai else 422)
    assert named in await response.text()


async def test_a_temperature_that_is_a_list_of_something_else_is_named(client):
    for odd in ([0.0, None], [], [[0.0]], {"a": 1}):
        response = await by_json(client, {"temperature": odd})
        assert (response.status, "temperature" in await response.text()) == (422, True), odd


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "fields", [{"start": "0.25", "end": "0.75"}, {"clip_timestamps": "0.25,0.75"}]
)
async def test_only_a_part_is_transcribed_and_counted(client, engine, way, fields):
    response = await way(client, {**fields, "strict": "true"})
    assert response.status == 200, await response.text()
    assert "0.50 s" in (await response.json())["text"]
    assert response.headers["X-Audio-Length"] == "0.5"
    assert options_asked(engine).part is None, "windows of a part share a batch with others"


@pytest.mark.parametrize(
    ("fields", "first", "last"),
    [
        ({"start": "0.25"}, 0.25, 1.0),
        ({"end": "0.5"}, 0.0, 0.5),
        ({"start": "0", "end": "7"}, 0.0, 1.0),
        ({"clip_timestamps": "0.5"}, 0.5, 1.0),
        ({"clip_timestamps": [0.5, 0.75]}, 0.5, 0.75),
    ],
)
async def test_times_stay_those_of_the_whole_recording(client, fields, first, last):
    found = await (await by_json(client, fields)).json()
    assert [chunk["timestamp"] for chunk in found["chunks"]] == [[first, last]]


async def test_every_format_and_stream_has_the_times_of_the_whole(client):
    for wanted, expected in (
        ("srt", "00:00:00,250 --> 00:00:00,750"),
        ("vtt", "00:00:00.250 --> 00:00:00.750"),
        ("tsv", "250\t750"),
    ):
        response = await by_openai(
            client, {"clip_timestamps": "0.25,0.75", "response_format": wanted}
        )
        assert expected in await response.text()
    streamed = await by_query(client, {"start": "0.25", "end": "0.75", "stream": "true"})
    events = [json.loads(line) for line in (await streamed.text()).splitlines()]
    [segment] = [event for event in events if event["type"] == "transcript.text.segment"]
    assert (segment["start"], segment["end"]) == (0.25, 0.75)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"start": "1", "end": "1"}, "the part ends at 1 s and begins at 1 s"),
        ({"clip_timestamps": "0.5,0.25"}, "the part ends at 0.25 s"),
        ({"clip_timestamps": "0,1", "start": "0"}, "send either"),
        ({"clip_timestamps": "0,1,2,3"}, "clip_timestamps: must have at most 2 values"),
        ({"clip_timestamps": "a"}, "must be a number"),
        ({"start": "-1"}, "start: must be at least 0"),
        ({"end": "nan"}, "end: must be a finite number"),
        ({"start": "1"}, "begins at 1 s, and the audio lasts only 1.0 s"),
        ({"start": "1e9"}, "send an earlier start"),
        ({"start": "1e308"}, "start: must be at most 1e+09"),
        ({"clip_timestamps": "0,1e308"}, "must be at most 1e+09"),
    ],
)
@pytest.mark.parametrize("way", [by_query, by_openai])
async def test_a_part_that_cannot_be_is_refused(client, way, fields, named):
    response = await way(client, fields)
    assert response.status in {400, 422}
    assert named in await response.text()


async def test_speakers_and_the_language_of_a_part_are_told(client, engine):
    talk = wav(dialogue(1.0, 1.0))
    response = await client.post("/v1/audio/speakers?start=1", data=talk)
    found = await response.json()
    assert [(each["start"], each["end"]) for each in found["segments"]] == [(1.0, 2.0)]
    assert found["duration"] == 1.0
    await client.post("/detect-language?start=0.5&end=1.5", data=talk)
    assert options_asked(engine).part is None
    assert engine.steps[0][0].seconds == 1.0


async def test_words_and_speakers_have_the_times_of_the_whole(make_client, engine):
    engine.transcribe, engine.info = worded, replace(engine.info, has_words=True)
    client = await make_client()
    talk = wav(dialogue(2.0, 1.0))
    query = "start=1&diarize=true&timestamps=word"
    found = await (await client.post(f"/asr?{query}", data=talk)).json()
    assert [(chunk["timestamp"], chunk["speaker"]) for chunk in found["chunks"]] == [
        ([1.0, 1.5], "SPEAKER_00"),
        ([1.5, 2.0], "SPEAKER_00"),
        ([2.0, 2.5], "SPEAKER_01"),
        ([2.5, 3.0], "SPEAKER_01"),
    ]
