"""OpenAI's dialect beyond its own client: forms in any order, warnings, failures, streams."""

import asyncio
import io
import json
import re
from dataclasses import replace

import aiohttp
import pytest
import soundfile
from aiohttp import web

from asr import keys
from asr.app import create_app
from asr.config import Config, ConfigError
from asr.openai_schemas import OpenAiProblem, TextAnswer, VerboseAnswer
from asr.transcript import Segment
from asr.windows import WindowResult
from tests.conftest import FakeEngine, tone, wav

CLIP = wav(tone(1.0))
PATH = "/v1/audio/transcriptions"
PREFIXES = ["/v1", "/api/v1"]


@pytest.fixture
def engine():
    engine = FakeEngine()
    engine.info = replace(engine.info, can_prompt=True)
    return engine


def form(*fields, file=CLIP, **named):
    """A multipart form, its file first."""
    data = aiohttp.FormData(default_to_multipart=True)
    if file is not None:
        data.add_field("file", file, filename="upload")
    for name, value in [*fields, *named.items()]:
        data.add_field(name, value)
    return data


async def transcribe(client, *fields, path=PATH, **named):
    response = await client.post(path, data=form(*fields, **named))
    assert response.status == 200, await response.text()
    return response


async def refused(client, *fields, path=PATH, **named):
    response = await client.post(path, data=form(*fields, **named))
    return response.status, await problem(response)


async def problem(response):
    found = OpenAiProblem.model_validate_json(await response.text(), extra="forbid").error
    assert found.type in {"invalid_request_error", "rate_limit_error", "server_error"}
    return found


def options_asked(engine):
    [step] = engine.steps
    [window] = step
    return window.options


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_both_prefixes_serve_every_route(client, prefix):
    for noun in ("transcriptions", "translations"):
        response = await transcribe(client, path=f"{prefix}/audio/{noun}")
        answer = TextAnswer.model_validate_json(await response.text(), extra="forbid")
        assert (answer.text, answer.usage.seconds) == ("1.00 s", 1)
    assert (await (await client.get(f"{prefix}/models")).json())["data"][0]["id"] == "fake"
    assert (await client.get(f"{prefix}/models/fake")).status == 200


async def test_the_answer_carries_the_headers_of_the_service(client):
    response = await transcribe(client)
    assert response.headers["X-Audio-Length"] == "1.0"
    assert {"X-Request-ID", "X-Model-ID", "X-Processing-Time"} <= response.headers.keys()
    assert "X-Warnings" not in response.headers


async def test_a_file_without_a_content_type_or_an_extension_may_come_before_the_fields(client):
    body = b"".join(
        [
            b'--b\r\nContent-Disposition: form-data; name="file"; filename=""\r\n\r\n',
            CLIP,
            b'\r\n--b\r\nContent-Disposition: form-data; name="response_format"\r\n\r\ntext',
            b"\r\n--b--\r\n",
        ]
    )
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    response = await client.post(PATH, data=body, headers=headers)
    assert (response.status, await response.text()) == (200, "1.00 s")


async def test_a_url_may_stand_for_the_file(make_client, tmp_path):
    (tmp_path / "clip.wav").write_bytes(CLIP)
    client = await make_client(audio_root=tmp_path)
    response = await transcribe(client, file=None, url="clip.wav")
    assert (await response.json())["text"] == "1.00 s"


async def test_a_fields_odd_name_does_not_reach_the_header(client):
    part = '--b\r\nContent-Disposition: form-data; name="naïve"\r\n\r\nx\r\n'.encode()
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    response = await client.post(PATH, data=part + head + CLIP + b"\r\n--b--", headers=headers)
    assert response.status == 200
    assert response.headers["X-Warnings"] == "na?ve has no effect here: leave it out"


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


async def test_keywords_and_hotwords_end_the_prompt(client, engine):
    fields = [("prompt", "About ships."), ("keywords[]", "Öland"), ("keywords[]", "Gotland, too")]
    await transcribe(client, *fields, hotwords="keel", temperature="0.5")
    assert options_asked(engine).prompt == "About ships. Öland, Gotland, too keel"
    assert options_asked(engine).temperature == 0.5


@pytest.mark.parametrize(
    ("name", "value", "param"),
    [
        ("include[]", "logprobs", "include[]"),
        ("known_speaker_names[]", "Ada", "known_speaker_names"),
        ("chunking_strategy", '{"type": "server_vad", "threshold": 0.4}', "[threshold]"),
        ("chunking_strategy", '{"type": "auto", "eagerness": "low"}', "[eagerness]"),
        ("condition_on_previous_text", "true", "condition_on_previous_text"),
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
        ({"response_format": "docx"}, "response_format", "'tsv'"),
        ({"response_format": "diarized_json"}, "response_format", "diarizer"),
        ({"temperature": "warm"}, "temperature", "number"),
        ({"temperature": "nan"}, "temperature", "finite"),
        ({"stream": "perhaps"}, "stream", "boolean"),
        ({"timestamp_granularities[]": "letter"}, "timestamp_granularities", "'word'"),
        ({"timestamp_granularities[]": "word"}, "timestamp_granularities[]", "no word timestamps"),
        ({"include[]": "everything"}, "include", "logprobs"),
        ({"language": "tlh"}, "language", "en, es"),
        ({"languages[]": "tlh"}, "languages[]", "en, es"),
        ({"language": "en", "languages[]": "es"}, "language", "not among"),
        ({"chunking_strategy": "none"}, "chunking_strategy", "server_vad"),
        ({"chunking_strategy": '["server_vad"]'}, "chunking_strategy", "server_vad"),
        ({"chunking_strategy": "[" * 50_000}, "chunking_strategy", "server_vad"),
        ({"chunking_strategy[threshold]": "0.4"}, "chunking_strategy", "'type'"),
        ({"temperature": "0.0,2"}, "temperature", "less than or equal to 1"),
        ({"seed": "-1"}, "seed", "greater than or equal to 0"),
        ({"logprob_threshold": "0.5"}, "logprob_threshold", "less than or equal to 0"),
        ({"no_speech_threshold": "60"}, "no_speech_threshold", "less than or equal to 1"),
        ({"compression_ratio_threshold": "0"}, "compression_ratio_threshold", "greater than 0"),
        ({"max_line_width": "0"}, "max_line_width", "greater than or equal to 1"),
        ({"model": "m", "strict": "yes"}, "model", "use 'fake'"),
    ],
)
async def test_a_field_that_cannot_be_used_is_a_400_that_names_it(client, fields, param, named):
    status, found = await refused(client, **fields)
    assert (status, found.param) == (400, param)
    assert named in found.message


async def test_the_formats_that_are_offered_are_those_that_are_served(client):
    _, found = await refused(client, response_format="docx")
    offered = re.findall(r"'(\w+)'", found.message)
    assert "diarized_json" not in offered
    for response_format in offered:
        await transcribe(client, response_format=response_format)


async def test_a_form_without_a_file_is_told_what_to_send(client):
    status, found = await refused(client, file=None, model="m")
    assert (status, found.param) == (400, "file")
    response = await client.post(PATH, json={"file": "x"})
    assert (response.status, (await problem(response)).code) == (415, "unsupported_media")
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    response = await client.post(PATH, data=b"no form", headers=headers)
    assert (response.status, (await problem(response)).code) == (400, "bad_request")


async def test_every_failure_under_the_prefixes_is_an_error_object(make_client, engine):
    client = await make_client(api_key="k", max_body_mb=0.1)
    for prefix in PREFIXES:
        key = {"Authorization": "Bearer k"}
        response = await client.get(prefix + "/models")
        assert (response.status, (await problem(response)).code) == (401, "invalid_api_key")
        assert response.headers["WWW-Authenticate"] == "Bearer"
        response = await client.get(prefix + "/nowhere", headers=key)
        assert (response.status, (await problem(response)).code) == (404, "unknown_url")
        response = await client.get(prefix + "/audio/translations", headers=key)
        assert (response.status, (await problem(response)).code) == (405, "method_not_allowed")
        assert response.headers["Allow"] == "POST"
        path = prefix + "/audio/transcriptions"
        response = await client.post(path, data=form(file=bytes(200_000)), headers=key)
        assert (response.status, (await problem(response)).code) == (413, "too_large")
    engine.hear = lambda window: WindowResult(window, error=ValueError("secret"))
    response = await client.post(PATH, data=form(), headers=key)
    found = await problem(response)
    assert (response.status, found.type) == (500, "server_error")
    assert "secret" not in found.message


async def test_too_long_audio_is_refused_with_both_figures(make_client):
    client = await make_client(max_audio_seconds=2.0)
    status, found = await refused(client, file=wav(tone(3.0)))
    assert (status, found.code) == (413, "too_large")
    assert "3 s" in found.message
    assert "MAX_AUDIO_SECONDS=2" in found.message


async def test_a_full_queue_is_a_rate_limit_error_with_retry_after(make_client, engine):
    client = await make_client(max_queue_seconds=1.0)
    engine.gate.clear()
    first = asyncio.create_task(client.post(PATH, data=form()))
    async with asyncio.timeout(20):
        while not engine.steps:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    response = await client.post(PATH, data=form(stream="true"))
    assert (response.status, (await problem(response)).type) == (429, "rate_limit_error")
    assert int(response.headers["Retry-After"]) >= 1
    engine.gate.set()
    assert (await first).status == 200


async def test_verbose_json_of_silence_has_no_segments_and_an_unknown_language(client):
    response = await transcribe(client, file=wav(0 * tone(1.0)), response_format="verbose_json")
    answer = VerboseAnswer.model_validate_json(await response.text(), extra="forbid")
    assert (answer.text, answer.segments, answer.language) == ("", [], "unknown")
    for response_format, empty in [("text", ""), ("srt", ""), ("vtt", "WEBVTT\n\n")]:
        silence = await transcribe(client, file=wav(0 * tone(1.0)), response_format=response_format)
        assert await silence.text() == empty


async def test_verbose_json_says_when_the_engine_does_not_know_its_probabilities(client, engine):
    response = await transcribe(client, response_format="verbose_json")
    assert "avg_logprob" in (await response.json())["warnings"][0]
    known = Segment(0.0, 1.0, " a", avg_logprob=-0.1, no_speech_prob=0.2)
    engine.hear = lambda window: WindowResult(window, (known,), "es")
    answer = await (await transcribe(client, response_format="verbose_json")).json()
    assert "warnings" not in answer
    assert answer["language"] == "spanish"


async def test_a_model_without_languages_or_prompts_warns_of_them(client, engine):
    engine.info = replace(engine.info, languages={}, can_prompt=False)
    response = await transcribe(client, language="en", prompt="a")
    assert "language has no effect" in response.headers["X-Warnings"]
    assert "prompt has no effect" in response.headers["X-Warnings"]
    assert (await refused(client, language="en", strict="1"))[1].param == "language"


async def test_the_layout_of_subtitles_is_the_callers(client, engine):
    text = " " + " ".join(["word"] * 12)
    engine.hear = lambda window: WindowResult(window, (Segment(0.0, 1.0, text),), "en")
    narrow = {"response_format": "srt", "max_line_width": "10", "max_line_count": "1"}
    answer = await (await transcribe(client, **narrow)).text()
    assert answer.count(" --> ") == 6
    assert answer.count("word word\n") == 6


async def test_a_forced_language_that_the_model_does_not_know_stops_the_start(engine):
    runner = web.AppRunner(create_app(Config(language_force="tlh"), lambda _: engine))
    with pytest.raises(ConfigError, match="LANGUAGE_FORCE='tlh': the model fake knows en, es"):
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
async def test_a_language_that_is_overruled_is_told(make_client, engine, fields, name):
    client = await make_client(language_force="es")
    told = f"{name} is overruled: here LANGUAGE_FORCE is es"
    response = await transcribe(client, **fields, response_format="verbose_json")
    assert response.headers["X-Warnings"] == told
    assert told in (await response.json())["warnings"]
    query = {part.removesuffix("[]"): value for part, value in fields.items()}
    for stream in ("true", "false"):
        response = await client.post("/asr", params={**query, "stream": stream}, data=CLIP)
        assert (response.status, response.headers["X-Warnings"]) == (200, told)
    status, found = await refused(client, **fields, strict="true")
    assert (status, found.param, told in found.message) == (400, name, True)
    response = await client.post("/asr", params={**query, "strict": "true"}, data=CLIP)
    assert (response.status, "LANGUAGE_FORCE" in await response.text()) == (400, True)
    assert {window.options.language for [window] in engine.steps} == {"es"}


async def test_a_forced_language_that_is_asked_is_no_warning(make_client):
    client = await make_client(language_force="es")
    for fields in ({"language": "Spanish"}, {"languages[]": "es"}, {"languages": "en,es"}):
        response = await transcribe(client, **fields, strict="true")
        assert "X-Warnings" not in response.headers


# --- streams ---


async def events(response):
    """The events of an SSE response, without its comments."""
    found = []
    async for line in response.content:
        if line.startswith(b"data: "):
            found.append(json.loads(line[6:]))
        else:
            assert line == b"\n" or line.startswith(b":")
    return found


async def test_a_stream_tells_each_window_when_it_is_heard(make_client, engine):
    client = await make_client(chunk_length_s=2.0)
    response = await transcribe(client, file=wav(tone(7.0)), stream="true", flavour="sweet")
    assert response.content_type == "text/event-stream"
    assert "flavour" in response.headers["X-Warnings"]
    told = await events(response)
    kinds = [event["type"].removeprefix("transcript.text.") for event in told]
    heard = sum(len(step) for step in engine.steps)
    assert kinds == ["delta", "segment"] * heard + ["done"]
    assert [e["id"] for e in told if "id" in e] == [f"seg_{n}" for n in range(heard)]
    whole = await (await transcribe(client, file=wav(tone(7.0)))).json()
    assert "".join(event.get("delta", "") for event in told) == told[-1]["text"] == whole["text"]
    starts = [event["start"] for event in told if "start" in event]
    assert starts == sorted(starts)


async def test_a_stream_beats_while_the_engine_is_busy(make_client, engine):
    client = await make_client(stream_heartbeat_s=0.02)
    engine.gate.clear()
    response = await transcribe(client, stream="true")  # answered before anything is heard
    assert (await response.content.readline()).startswith(b":")
    assert await response.content.readline() == b"\n"
    assert (await response.content.readline()).startswith(b":")
    engine.gate.set()
    assert (await events(response))[-1] == {"type": "transcript.text.done", "text": "1.00 s"}


async def test_a_failure_amid_a_stream_is_its_last_event(make_client, engine):
    client = await make_client(stream_heartbeat_s=0.02)
    engine.gate.clear()
    engine.hear = lambda window: WindowResult(window, error=ValueError("secret"))
    response = await transcribe(client, stream="true")
    engine.gate.set()
    last = (await events(response))[-1]
    assert last["error"].keys() == {"message", "type", "param", "code"}
    assert last["error"]["code"] == "transcription_failed"


async def test_a_stream_of_verbose_json_ends_with_language_and_duration(client):
    response = await transcribe(client, stream="true", response_format="verbose_json")
    assert (await events(response))[-1] == {
        "type": "transcript.text.done",
        "text": "1.00 s",
        "language": "english",
        "duration": 1.0,
    }


async def test_a_caller_who_leaves_a_stream_is_not_transcribed(make_client, engine):
    client = await make_client(chunk_length_s=2.0, stream_heartbeat_s=0.02)
    engine.gate.clear()
    engine.capacity = 1
    response = await transcribe(client, file=wav(tone(30.0)), stream="true")
    response.close()
    metrics = client.app[keys.METRICS]
    async with asyncio.timeout(20):
        while metrics.queue_seconds._value.get():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    engine.gate.set()
    assert len(engine.steps) <= 2


def slow_form(*before, after=(), sent):
    """A form whose file stops half way until `sent` is set."""

    def field(name, value):
        return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'

    file = io.BytesIO()
    soundfile.write(file, tone(20.0), 16_000, format="AU")  # heard from its first second on
    audio = file.getvalue()

    async def body():
        yield "".join(field(*pair) for pair in before).encode()
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        yield audio[: len(audio) // 2]
        async with asyncio.timeout(20):
            await sent.wait()
        yield audio[len(audio) // 2 :] + b"\r\n"
        yield "".join(field(*pair) for pair in after).encode() + b"--b--\r\n"

    return {"data": body(), "headers": {"Content-Type": "multipart/form-data; boundary=b"}}


async def test_text_is_streamed_while_the_file_is_still_being_sent(make_client):
    client = await make_client(chunk_length_s=2.0)
    sent = asyncio.Event()
    late = [("model", "whisper-1"), ("language", "")]
    response = await client.post(PATH, **slow_form(("stream", "true"), after=late, sent=sent))
    while not (line := await response.content.readline()).startswith(b"data: "):
        pass  # a loaded machine: the heart beats before the first window is heard
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


async def test_a_file_over_the_limit_ends_its_stream(make_client):
    client = await make_client(chunk_length_s=2.0, max_body_mb=0.4)
    sent = asyncio.Event()
    response = await client.post(PATH, **slow_form(("stream", "true"), sent=sent))
    sent.set()
    error = (await events(response))[-1]["error"]
    assert (error["code"], "MAX_BODY_MB=0.4" in error["message"]) == ("too_large", True)
