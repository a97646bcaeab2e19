"""What a field of OpenAI's dialect means: options, languages, warnings, and what is refused."""

import re
from dataclasses import replace

import pytest
from aiohttp import web

from asr.config.config import Config
from asr.errors import ConfigError
from asr.server.app import create_app
from tests.support.fake_engine import FakeEngine
from tests.support.forms import CLIP, options_asked, refused, transcribe


@pytest.fixture
def engine():
    engine = FakeEngine()
    engine.info = replace(engine.info, can_prompt=True)
    return engine


@pytest.mark.parametrize(
    ("fields", "language"),
    [
        ({"language": "es"}, "es"),
        ({"language": "Spanish"}, "es"),
        ({"language": "es-MX"}, "es"),
        ({"language": ""}, None),
        ({"language": "auto"}, None),
        ({"language": "null"}, None),
        ({"languages[]": "es"}, "es"),
        ({"languages": "es, Spanish"}, "es"),
        ({"languages[]": "es", "language": "es"}, "es"),
    ],
)
async def test_a_language_is_a_code_a_name_or_a_tag_or_the_only_one_allowed(
    client, engine, fields, language
):
    response = await transcribe(client, **fields)
    assert options_asked(engine).language == language
    assert "X-Warnings" not in response.headers


async def test_keywords_and_hotwords_are_known_beside_the_prompt(client, engine):
    fields = [("prompt", "About ships."), ("keywords[]", "Öland"), ("keywords[]", "Gotland, too")]
    await transcribe(client, *fields, hotwords="keel", temperature="0.5")
    asked = options_asked(engine)
    assert (asked.prompt, asked.vocabulary) == ("About ships.", ("keel", "Öland", "Gotland, too"))
    assert asked.temperature == 0.5


@pytest.mark.parametrize(
    ("name", "value", "param"),
    [
        ("include[]", "logprobs", "include[]"),
        ("known_speaker_names[]", "Ada", "known_speaker_names"),
        ("known_speaker_references[]", "data:,a", "known_speaker_references"),
        ("num_speakers", "2", "num_speakers"),
        ("diarize", "true", "diarize has no effect on json: ask for diarized_json"),
        ("chunking_strategy", '{"type": "server_vad", "threshold": 0.4}', "[threshold]"),
        ("chunking_strategy", '{"type": "auto", "eagerness": "low"}', "[eagerness]"),
        ("beam_size", "5", "beam_size"),
        ("no_speech_threshold", "0.6", "no_speech_threshold"),
        ("timestamp_granularities[]", "segment", "timestamp_granularities[]"),
        ("flavour", "sweet", "flavour"),
    ],
)
async def test_what_cannot_be_honoured_is_a_warning_and_a_400_when_strict(
    client, engine, name, value, param
):
    response = await transcribe(client, (name, value), model="any")
    assert param in response.headers["X-Warnings"]
    status, found = await refused(client, (name, value), strict="true", model="fake")
    assert status == 400
    assert found.param is not None
    assert len(engine.steps) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"beam_size": "1", "best_of": "1.0", "n": "1", "top_p": "1", "use_beam_search": "False"},
        {"condition_on_previous_text": "false", "vad_filter": "0", "seed": "7"},
        {"chunking_strategy": "auto"},
        {"chunking_strategy[type]": "server_vad"},
        {"chunking_strategy[type]": "auto"},
        {"chunking_strategy": "server_vad"},
        {"chunking_strategy": '{"type": "server_vad"}'},
        {"model": "fake"},
        {"model": "whisper-1"},
    ],
)
async def test_what_is_done_anyway_is_no_warning_even_when_strict(client, fields):
    response = await transcribe(client, **fields, strict="true")
    assert "X-Warnings" not in response.headers


@pytest.mark.parametrize(
    ("fields", "param", "named"),
    [
        ({"response_format": "docx"}, "response_format", "vtt, lrc, tsv"),
        ({"response_format": "rttm", "stream": "true"}, "response_format", "no stream"),
        ({"num_speakers": "0"}, "num_speakers", "at least 1"),
        ({"max_speakers": "51"}, "max_speakers", "at most 50"),
        ({"temperature": "warm"}, "temperature", "number"),
        ({"temperature": "nan"}, "temperature", "finite"),
        ({"stream": "perhaps"}, "stream", "true or false"),
        ({"timestamp_granularities[]": "letter"}, "timestamp_granularities", "segment, word"),
        ({"timestamp_granularities[]": "word"}, "timestamp_granularities[]", "no word timestamps"),
        ({"include[]": "everything"}, "include", "logprobs"),
        ({"language": "tlh"}, "language", "en, es"),
        ({"languages[]": "tlh"}, "languages[]", "en, es"),
        ({"language": "en", "languages[]": "es"}, "language", "not among"),
        ({"chunking_strategy": "none"}, "chunking_strategy", "server_vad"),
        ({"chunking_strategy": '["server_vad"]'}, "chunking_strategy", "server_vad"),
        ({"chunking_strategy": "[" * 50_000}, "chunking_strategy", "server_vad"),
        ({"chunking_strategy[threshold]": "0.4"}, "chunking_strategy", "the key type"),
        ({"temperature": "0.0,2"}, "temperature", "at most 1"),
        ({"seed": "-1"}, "seed", "at least 0"),
        ({"logprob_threshold": "0.5"}, "logprob_threshold", "at most 0"),
        ({"no_speech_threshold": "60"}, "no_speech_threshold", "at most 1"),
        ({"compression_ratio_threshold": "0"}, "compression_ratio_threshold", "greater than 0"),
        ({"max_line_width": "0"}, "max_line_width", "at least 1"),
        ({"model": "m", "strict": "yes"}, "model", "use 'fake'"),
    ],
)
async def test_a_field_that_cannot_be_used_is_a_400_that_names_it(client, fields, param, named):
    status, found = await refused(client, **fields)
    assert (status, found.param) == (400, param)
    assert named in found.message


async def test_the_formats_that_are_offered_are_those_that_are_served(client):
    _, found = await refused(client, response_format="docx")
    [listed] = re.findall(r"must be one of ([\w, ]+);", found.message)
    offered = listed.split(", ")
    assert len(offered) >= 5
    assert {"diarized_json", "rttm"} <= set(offered)
    for response_format in offered:
        await transcribe(client, response_format=response_format)


async def test_a_model_without_languages_or_prompts_warns_of_them(client, engine):
    engine.info = replace(engine.info, languages={}, can_prompt=False)
    response = await transcribe(client, language="en", prompt="a")
    assert "language has no effect" in response.headers["X-Warnings"]
    assert "prompt has no effect" in response.headers["X-Warnings"]
    assert (await refused(client, language="en", strict="1"))[1].param == "language"


async def test_a_forced_language_that_the_model_does_not_know_stops_the_start(engine):
    runner = web.AppRunner(create_app(Config(language_force="tlh"), lambda _: engine))
    with pytest.raises(
        ConfigError,
        match="LANGUAGE_FORCE='tlh': the model fake does not know this language; it knows en, es",
    ):
        await runner.setup()
    await runner.cleanup()


async def test_a_forced_language_and_untimed_segments_hold_for_every_request(make_client, engine):
    client = await make_client(language_force="Spanish", timestamps="none")
    answer = await (await transcribe(client, language="en", response_format="verbose_json")).json()
    assert answer["language"] == "spanish"
    asked = options_asked(engine)
    assert (asked.language, asked.timestamps) == ("es", "none")


@pytest.mark.parametrize(
    ("fields", "name"),
    [({"language": "en"}, "language"), ({"languages[]": "en"}, "languages")],
)
async def test_a_language_that_is_overruled_is_reported(make_client, engine, fields, name):
    client = await make_client(language_force="es")
    warning = f"{name} has no effect: the server has LANGUAGE_FORCE=es"
    response = await transcribe(client, **fields, response_format="verbose_json")
    assert response.headers["X-Warnings"] == warning
    assert warning in (await response.json())["warnings"]
    query = {part.removesuffix("[]"): value for part, value in fields.items()}
    for stream in ("true", "false"):
        response = await client.post("/asr", params={**query, "stream": stream}, data=CLIP)
        assert (response.status, response.headers["X-Warnings"]) == (200, warning)
    status, found = await refused(client, **fields, strict="true")
    assert (status, found.param, warning in found.message) == (400, name, True)
    response = await client.post("/asr", params={**query, "strict": "true"}, data=CLIP)
    assert (response.status, "LANGUAGE_FORCE" in await response.text()) == (400, True)
    assert {window.options.language for [window] in engine.steps} == {"es"}


async def test_a_forced_language_that_is_asked_is_no_warning(make_client):
    client = await make_client(language_force="es")
    for fields in ({"language": "Spanish"}, {"languages[]": "es"}, {"languages": "en,es"}):
        response = await transcribe(client, **fields, strict="true")
        assert "X-Warnings" not in response.headers
