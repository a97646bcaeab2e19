"""Each answer tells how much of the speech its text accounts for, where it is measured."""

import json
from dataclasses import replace

import pytest
from aiohttp import FormData

from asr.api.openai.schemas import VerboseAnswer
from asr.engines.engine import WindowResult
from asr.transcript import Segment
from benchmark.recordings import flac
from models.demo import synthesise
from tests.support.fake_engine import FakeEngine
from tests.support.forms import events, transcribe

WRITTEN_SECONDS = 4.0  # seconds of the recording that the engine writes down


@pytest.fixture(scope="module")
def spoken():
    return flac(synthesise.recording(9, "en", seed=5).samples)


@pytest.fixture
def engine():
    """Deaf to all but the beginning, also when it decodes the rest again."""

    def decode(window):
        start = Segment(0.0, WRITTEN_SECONDS, " one two three")
        return WindowResult(window, (start,) if window.start == 0 else (), "en")

    engine = FakeEngine(transcribe=decode)
    engine.info = replace(engine.info, has_logprobs=True)
    return engine


@pytest.fixture
async def client(make_client):
    return await make_client(vad="energy")


async def test_verbose_json_and_the_header_tell_of_the_same_gaps(client, spoken):
    response = await transcribe(client, file=spoken, response_format="verbose_json")
    answer = VerboseAnswer.model_validate_json(await response.text(), extra="forbid")
    found = answer.coverage
    assert 0 < found.covered < found.speech < answer.duration
    share = float(response.headers["X-Speech-Coverage"])
    assert share == pytest.approx(found.covered / found.speech, abs=0.001)
    assert found.gaps
    assert all(gap.start >= WRITTEN_SECONDS - 0.5 and gap.reason == "no text" for gap in found.gaps)


@pytest.mark.parametrize("response_format", ["json", "text", "srt", "vtt", "tsv"])
async def test_every_format_has_the_header(client, spoken, response_format):
    response = await transcribe(client, file=spoken, response_format=response_format)
    assert 0 < float(response.headers["X-Speech-Coverage"]) < 1


async def test_asr_has_the_header_and_nothing_new_in_its_answer(client, spoken):
    response = await client.post("/asr", data=spoken)
    assert 0 < float(response.headers["X-Speech-Coverage"]) < 1
    assert (await response.json()).keys() == {"text", "chunks"}


async def test_a_stream_ends_with_the_coverage(client, spoken):
    whole = await transcribe(client, file=spoken, response_format="verbose_json")
    expected = (await whole.json())["coverage"]
    sent = await events(await transcribe(client, file=spoken, stream="true"))
    assert sent[-1]["coverage"] == expected
    response = await client.post("/asr?stream=true", data=spoken)
    lines = [json.loads(line) async for line in response.content]
    assert lines[-1]["coverage"] == expected
    assert not any("coverage" in event for event in [*sent[:-1], *lines[:-1]])


async def test_without_a_detector_no_coverage_is_reported(make_client, spoken):
    client = await make_client(vad="off")
    response = await transcribe(client, file=spoken, response_format="verbose_json")
    assert "X-Speech-Coverage" not in response.headers
    assert "coverage" not in await response.json()
    form = FormData()
    form.add_field("file", spoken, filename="clip")
    assert "X-Speech-Coverage" not in (await client.post("/asr", data=form)).headers
