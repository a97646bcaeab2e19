"""Tokens beside their text: the bytes of all are the text, whole and streamed."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.api.openai.schemas import TextAnswer, VerboseAnswer
from asr.engines.engine import WindowResult
from asr.formats.openai_json import Logprobs, logprobs
from asr.formats.writers import PlainText
from asr.transcript import Segment, TokenLogprob, Transcript
from tests.conftest import tone, wav
from tests.support.fake_engine import FakeEngine
from tests.support.forms import events, transcribe

LETTERS = st.characters(exclude_categories=["Cs"])
CLIP = wav(tone(1.0))


def bytes_of(found):
    return b"".join(bytes(each["bytes"]) for each in found)


@st.composite
def cut(draw):
    """A segment whose tokens part its bytes anywhere, amid letters too."""
    text = draw(st.text(LETTERS, max_size=30))
    data = text.encode()
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    edges = zip([0, *places], [*places, len(data)], strict=True)
    pieces = tuple(TokenLogprob(data[a:b], draw(st.floats(-9, 0))) for a, b in edges)
    return Segment(0.0, 1.0, text, token_logprobs=pieces)


@settings(max_examples=300)
@given(st.lists(cut(), max_size=6))
def test_the_bytes_of_the_tokens_are_the_text(segments):
    found = logprobs(Transcript(tuple(segments), "en", 1.0))
    assert bytes_of(found).decode() == "".join(s.text for s in segments).strip()
    assert all(each["token"] == bytes(each["bytes"]).decode("utf-8", "replace") for each in found)
    known = {piece.logprob for segment in segments for piece in segment.token_logprobs}
    assert {each["logprob"] for each in found} <= known


@settings(max_examples=100)
@given(st.lists(cut(), max_size=6))
def test_each_delta_has_the_tokens_of_its_own_text(segments):
    tokens, writer = Logprobs(), PlainText()
    for segment in segments:
        tokens.push(segment)
        delta = writer.push(segment)
        assert bytes_of(tokens.take(delta)).decode() == delta


def test_a_letter_may_be_parted_between_tokens():
    pieces = (TokenLogprob(b" \xc3", -0.1), TokenLogprob(b"\xb6l", -0.2))
    assert logprobs(Transcript((Segment(0, 1, " öl", token_logprobs=pieces),), "sv", 1.0)) == [
        {"token": "\ufffd", "logprob": -0.1, "bytes": [0xC3]},
        {"token": "\ufffdl", "logprob": -0.2, "bytes": [0xB6, 0x6C]},
    ]


def test_bytes_that_are_no_letters_are_kept_as_the_model_wrote_them():
    odd = Segment(
        0,
        1,
        " a\ufffd",
        token_logprobs=(TokenLogprob(b" a", -0.1), TokenLogprob(b"\xe4", float("-inf"))),
    )
    even = Segment(1, 2, " b", token_logprobs=(TokenLogprob(b" b", -0.5),))
    found = logprobs(Transcript((odd, even), "en", 2.0))
    assert [bytes(each["bytes"]) for each in found] == [b" a", b"\xe4", b" b"]
    assert json.loads(json.dumps(found, allow_nan=False))[1]["logprob"] == -9999.0


@pytest.fixture
def engine():
    pieces = tuple(TokenLogprob(text.encode(), -0.25) for text in (" grüß", " dich", " "))
    engine = FakeEngine()

    def decode(window):
        shown = pieces if window.options.logprobs else ()
        segment = Segment(0.0, 1.0, " grüß dich ", (), (), -0.1, 0.0, token_logprobs=shown)
        return WindowResult(window, (segment,), "en")

    engine.transcribe = decode
    engine.info = replace(engine.info, has_logprobs=True)
    return engine


@pytest.mark.parametrize(
    ("response_format", "schema"), [("json", TextAnswer), ("verbose_json", VerboseAnswer)]
)
async def test_tokens_come_where_they_are_asked_and_nowhere_else(client, response_format, schema):
    asked = {"response_format": response_format, "include[]": "logprobs", "strict": "1"}
    response = await transcribe(client, **asked)
    answer = schema.model_validate_json(await response.text(), extra="forbid")
    assert [(each.token, each.logprob) for each in answer.logprobs] == [
        ("grüß", -0.25),
        (" dich", -0.25),
    ]
    plain = await (await transcribe(client, response_format=response_format)).json()
    assert "logprobs" not in plain


async def test_a_stream_has_tokens_in_its_deltas_and_in_its_end(make_client):
    client = await make_client(chunk_length_s=2.0)
    asked = {"stream": "true", "include[]": "logprobs"}
    sent = await events(await transcribe(client, file=wav(tone(5.0)), **asked))
    deltas = [event for event in sent if event["type"] == "transcript.text.delta"]
    assert len(deltas) > 1
    for event in deltas:
        assert bytes_of(event["logprobs"]).decode() == event["delta"]
    assert bytes_of(sent[-1]["logprobs"]).decode() == sent[-1]["text"]
    assert [each for event in deltas for each in event["logprobs"]] == sent[-1]["logprobs"]
    without_tokens = await events(await transcribe(client, stream="true"))
    assert not any("logprobs" in event for event in without_tokens)


async def test_tokens_have_no_place_in_subtitles(client):
    response = await transcribe(client, ("include[]", "logprobs"), ("response_format", "srt"))
    assert response.headers["X-Warnings"] == "include[] has no effect on srt: ask for json"
