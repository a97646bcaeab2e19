"""OpenAI's own client, its strict response types, and Hugging Face's example, on a real socket."""

import asyncio
import base64
import io
from dataclasses import replace

import openai
import pytest
import requests
import srt
import webvtt
from openai.types.audio import TranscriptionDiarized, TranscriptionVerbose

from asr.config.config import Config
from asr.engines.engine import WindowResult
from asr.server.app import create_app
from asr.transcript import Segment, Word
from tests.conftest import PATIENCE_SECONDS, tone, wav
from tests.support.fake_diarizer import FakeDiarizer
from tests.support.fake_engine import FakeEngine
from tests.support.spoken import dialogue, worded

AUDIO = wav(tone(7.0))
WORDS = ["one", "two", "three"]
FORMATS = ["json", "text", "srt", "vtt", "tsv", "verbose_json"]
GRANULARITIES = [[], ["segment"], ["word"], ["segment", "word"]]


def decode(window):
    """Three words in each window, with everything that a Whisper engine knows of them."""
    third = window.seconds / 3
    words = tuple(Word(f" {w}", i * third, (i + 1) * third, 0.9) for i, w in enumerate(WORDS))
    segment = Segment(
        0.0, window.seconds, " one two three", words, (50364, 1, 2, 3, 50414), -0.2, 0.01, 0.0
    )
    return WindowResult(window, (segment,), window.options.language or "en")


@pytest.fixture
def engine():
    engine = FakeEngine(transcribe=decode)
    engine.info = replace(engine.info, has_words=True, can_prompt=True)
    return engine


@pytest.fixture
async def url(engine, aiohttp_server):
    """A server with four windows in the clip of the tests."""
    settings = {"CHUNK_LENGTH_S": "2", "API_KEY": "sk-ours", "VAD": "off"}  # tones are speech here
    config = Config.from_environment(settings)
    server = await aiohttp_server(
        create_app(config, lambda _: engine, load_diarizer=lambda _: FakeDiarizer())
    )
    return str(server.make_url("/v1"))


@pytest.fixture
async def client(url):
    async with openai.AsyncOpenAI(
        api_key="sk-ours",
        base_url=url,
        max_retries=0,
        timeout=PATIENCE_SECONDS,  # for the connection too: the client's own 5 s are short
        _strict_response_validation=True,
    ) as client:
        yield client


def words_in(response_format, body):
    if response_format == "srt":
        body = " ".join(cue.content for cue in srt.parse(body))
    elif response_format == "vtt":
        body = " ".join(cue.text for cue in webvtt.from_buffer(io.StringIO(body)).captions)
    elif response_format == "tsv":
        body = " ".join(line.split("\t")[2] for line in body.splitlines()[1:])
    return body.split()


def windows_of(engine):
    return sum(len(step) for step in engine.steps)


@pytest.mark.parametrize("granularities", GRANULARITIES, ids=lambda g: "+".join(g) or "default")
@pytest.mark.parametrize("response_format", FORMATS)
async def test_whole_answers(client, engine, response_format, granularities):
    asked = {"timestamp_granularities": granularities} if granularities else {}
    answer = await client.audio.transcriptions.with_raw_response.create(
        file=AUDIO, model="whisper-1", response_format=response_format, **asked
    )
    words = WORDS * windows_of(engine)
    if response_format == "json":
        assert answer.parse().text.split() == words
        assert answer.parse().usage.seconds == 7
    elif response_format == "verbose_json":
        check_verbose(answer.parse(), words, granularities)
    else:
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert words_in(response_format, answer.text) == words


def check_verbose(answer, words, granularities):
    assert isinstance(answer, TranscriptionVerbose)
    assert (answer.language, answer.duration, answer.usage.seconds) == ("english", 7.0, 7)
    assert answer.text.split() == words
    if "word" in granularities:
        assert [word.word for word in answer.words] == words
    else:
        assert answer.words is None
    if granularities == ["word"]:
        assert answer.segments is None
        return
    assert "".join(segment.text for segment in answer.segments).strip() == answer.text
    assert [segment.id for segment in answer.segments] == list(range(len(answer.segments)))
    assert answer.segments[0].tokens == [50364, 1, 2, 3, 50414]
    assert answer.segments[1].seek == round(answer.segments[1].start * 100)


@pytest.mark.parametrize("granularities", GRANULARITIES, ids=lambda g: "+".join(g) or "default")
@pytest.mark.parametrize("response_format", FORMATS)
async def test_streamed_answers(client, engine, response_format, granularities):
    asked = {"timestamp_granularities": granularities} if granularities else {}
    how = {"file": AUDIO, "model": "whisper-1", "response_format": response_format, **asked}
    events = [event async for event in await client.audio.transcriptions.create(**how, stream=True)]
    deltas = "".join(e.delta for e in events if e.type == "transcript.text.delta")
    segments = [e for e in events if e.type == "transcript.text.segment"]
    done = events[-1]
    assert done.type == "transcript.text.done"
    assert deltas == done.text
    assert words_in(response_format, done.text) == WORDS * windows_of(engine)
    assert "".join(segment.text for segment in segments).split() == WORDS * windows_of(engine)
    assert all(
        ("words" in segment.model_extra) == ("word" in granularities) for segment in segments
    )
    whole = await client.audio.transcriptions.with_raw_response.create(**how)
    plain = whole.parse().text if "json" in response_format else whole.text
    assert plain == done.text


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("response_format", ["json", "text", "srt", "vtt", "verbose_json"])
async def test_translations(client, engine, response_format):
    answer = await client.audio.translations.create(
        file=("talk.mp3", AUDIO), model="whisper-1", response_format=response_format, prompt="a"
    )
    body = answer if isinstance(answer, str) else answer.text
    assert words_in(response_format, body) == WORDS * windows_of(engine)
    if response_format == "verbose_json":
        assert answer.language == "english"
    asked = {window.options for step in engine.steps for window in step}
    assert {(options.task, options.prompt) for options in asked} == {("translate", "a")}


async def test_models(client):
    listed = await client.models.list()
    assert [model.id for model in listed.data] == ["fake"]
    for name in ("fake", "whisper-1"):  # which requests may name, even strict ones
        found = await client.models.retrieve(name)
        assert (found.id, found.owned_by) == (name, "asr-api")
    with pytest.raises(openai.NotFoundError) as caught:
        await client.models.retrieve("openai/whisper-1")
    assert (caught.value.param, caught.value.code) == ("model", "not_found")


async def test_a_model_whose_name_has_a_slash_is_found(client, engine):
    engine.info = replace(engine.info, model_id="openai/whisper-tiny")
    assert (await client.models.retrieve("openai/whisper-tiny")).id == "openai/whisper-tiny"


@pytest.mark.parametrize(
    ("asked", "error", "param", "named"),
    [
        ({"file": b"no audio"}, openai.BadRequestError, None, "cannot be decoded"),
        ({"response_format": "docx"}, openai.BadRequestError, "response_format", "srt"),
        (
            {"response_format": "diarized_json", "known_speaker_names": ["Ada"]},
            openai.BadRequestError,
            "known_speaker_names",
            "one reference for each name",
        ),
        ({"language": "tlh"}, openai.BadRequestError, "language", "en, es"),
        ({"temperature": 7}, openai.BadRequestError, "temperature", "at most 1"),
        (
            {"model": "fake", "extra_body": {"strict": True, "beam_size": 5}},
            openai.BadRequestError,
            "beam_size",
            "beam_size cannot be 5",
        ),
        ({"extra_headers": {"Authorization": "x"}}, openai.AuthenticationError, None, "API key"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_errors_have_the_clients_own_types(client, stream, asked, error, param, named):
    with pytest.raises(error, match=named) as caught:
        await client.audio.transcriptions.create(
            **{"file": AUDIO, "model": "whisper-1", "stream": stream, **asked}
        )
    assert caught.value.body.keys() == {"message", "type", "param", "code"}
    assert (caught.value.type, caught.value.param) == ("invalid_request_error", param)


async def test_an_unknown_route_is_an_error_object_too(client):
    with pytest.raises(openai.NotFoundError) as caught:
        await client.embeddings.create(input="a", model="b", encoding_format="float")
    assert caught.value.code == "unknown_url"


async def test_a_failure_amid_a_stream_is_the_clients_api_error(client, engine):
    def fail_late(window):
        if window.start > 3:
            return WindowResult(window, error=ValueError("broken"))
        return decode(window)

    engine.transcribe, engine.capacity = fail_late, 1
    events = await client.audio.transcriptions.create(file=AUDIO, model="m", stream=True)
    assert (await anext(events)).delta == "one two three"
    with pytest.raises(openai.APIError, match="the model failed on this audio: ValueError"):
        async for _ in events:
            pass


async def test_the_client_of_hugging_faces_examples_works_as_written(url):
    def transcribe():
        headers = {"Authorization": "Bearer sk-ours"}
        files = {"file": AUDIO}
        endpoint = url.replace("/v1", "/api/v1/audio/transcriptions")
        response = requests.post(endpoint, headers=headers, files=files, timeout=PATIENCE_SECONDS)
        response.raise_for_status()
        return response.json()["text"]

    assert (await asyncio.to_thread(transcribe)).startswith("one two three")


async def test_the_synchronous_client_reads_who_speaks(url, engine):
    engine.transcribe = worded
    voice = "data:audio/wav;base64," + base64.b64encode(wav(0.2 * tone(3.0))).decode()
    asked = {
        "file": ("two.wav", wav(dialogue(2.0, 2.0))),
        "model": "gpt-4o-transcribe-diarize",
        "response_format": "diarized_json",
        "chunking_strategy": "auto",
        "known_speaker_names": ["Ada"],
        "known_speaker_references": [voice],
    }

    def both():
        with openai.OpenAI(
            api_key="sk-ours", base_url=url, max_retries=0, _strict_response_validation=True
        ) as client:
            whole = client.audio.transcriptions.create(**asked)
            return whole, list(client.audio.transcriptions.create(**asked, stream=True))

    whole, sent = await asyncio.to_thread(both)
    assert isinstance(whole, TranscriptionDiarized)
    assert (whole.task, whole.duration, whole.usage.seconds) == ("transcribe", 4.0, 4)
    spoken = [(segment.speaker, segment.text, segment.id) for segment in whole.segments]
    said = {who: "".join(text for one, text, _ in spoken if one == who) for who in ("A", "Ada")}
    assert said == {"A": " w00 w01 w02 w03", "Ada": " w04 w05 w06 w07"}
    segments = [event for event in sent if event.type == "transcript.text.segment"]
    assert [(event.speaker, event.text, event.id) for event in segments] == spoken
    assert "".join(e.delta for e in sent if e.type == "transcript.text.delta") == whole.text
    assert (sent[-1].type, sent[-1].text) == ("transcript.text.done", whole.text)
