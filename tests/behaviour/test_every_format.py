"""Whatever the engine writes, every route, format and stream carries the same words in order."""

import asyncio
import html
import io
import json
from dataclasses import replace

import pytest
import requests
import srt
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.engines.engine import WindowResult
from tests.conftest import PATIENCE_SECONDS, tone, wav
from tests.formats.test_captions import letters, timed
from tests.support.fake_engine import FakeEngine

AUDIO = wav(tone(2.3))  # two windows of at most 2 s
TIMED = {"timestamp_granularities[]": ["segment", "word"]}


@pytest.fixture
def engine():
    engine = FakeEngine()
    engine.info = replace(engine.info, has_words=True)
    return engine


def joined(parts, name="text"):
    return " ".join(part[name] for part in parts)


def of_json(body):
    return [json.loads(body)["text"]]


def of_verbose_json(body):
    answer = json.loads(body)
    return [answer["text"], joined(answer["segments"]), joined(answer["words"], "word")]


def of_text(body):
    return [body]


def of_srt(body):
    return [" ".join(cue.content for cue in srt.parse(body, ignore_errors=False))]


def of_vtt(body):
    captions = webvtt.from_buffer(io.StringIO(body)).captions
    return [html.unescape(" ".join(caption.raw_text for caption in captions))]


def of_tsv(body):
    heading, *lines = body.removesuffix("\n").split("\n")
    assert heading == "start\tend\ttext"
    return [" ".join(line.split("\t")[2] for line in lines)]


READERS = {
    "json": of_json,
    "verbose_json": of_verbose_json,
    "text": of_text,
    "srt": of_srt,
    "vtt": of_vtt,
    "tsv": of_tsv,
}


def of_asr(body):
    answer = json.loads(body)
    return [answer["text"], joined(answer["chunks"])]


def of_events(sent, read):
    """The texts of a stream: its end as `read` has it, its deltas, its segments, their words."""
    deltas = "".join(event["delta"] for event in sent if event["type"].endswith(".delta"))
    segments = [event for event in sent if event["type"].endswith(".segment")]
    assert deltas == sent[-1]["text"]
    words = [word for segment in segments for word in segment["words"]]
    return [*read(sent[-1]["text"]), joined(segments), joined(words, "word")]


class Caller:
    """Asks a server in every way that there is."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()

    def post(self, path, **how):
        answer = self._session.post(self._url + path, timeout=PATIENCE_SECONDS, **how)
        assert answer.status_code == 200, answer.text
        return answer.content.decode()

    def whole(self, response_format):
        fields = {"response_format": response_format}
        if response_format in {"verbose_json", "srt", "vtt"}:
            fields |= TIMED
        body = self.post("/v1/audio/transcriptions", data=fields, files={"file": AUDIO})
        return READERS[response_format](body)

    def streamed(self, response_format):
        fields = {"response_format": response_format, "stream": "true", **TIMED}
        body = self.post("/v1/audio/transcriptions", data=fields, files={"file": AUDIO})
        events = [json.loads(event.removeprefix("data: ")) for event in body.split("\n\n")[:-1]]
        is_json = response_format in {"json", "verbose_json"}
        return of_events(events, of_text if is_json else READERS[response_format])

    def everything(self):
        said = {name: self.whole(name) for name in READERS}
        said |= {f"{name}, streamed": self.streamed(name) for name in READERS}
        for timestamps in ("segment", "word"):
            query = {"timestamps": timestamps}
            said[f"/asr {timestamps}"] = of_asr(self.post("/asr", params=query, data=AUDIO))
        lines = self.post("/asr", params={"stream": "1", "timestamps": "word"}, data=AUDIO)
        events = [json.loads(line) for line in lines.split("\n")[:-1]]
        said["/asr, streamed"] = of_events(events, of_text)
        return said


async def test_the_same_words_everywhere(make_client, engine):
    client = await make_client(chunk_length_s=2.0)
    caller = Caller(str(client.make_url("/")).rstrip("/"))

    @settings(max_examples=25, database=None)
    @given(st.lists(timed(), max_size=4), st.lists(timed(), max_size=4))
    def ask(first, second):
        def two_parts(window):
            return WindowResult(window, tuple(second if window.start else first), "en")

        engine.transcribe = two_parts
        texts = [segment.text for segment in [*first, *second]]
        written = letters("".join(text for text in texts if any(map(str.isalnum, text))))
        said = caller.everything()
        assert {name: set(map(letters, texts)) for name, texts in said.items()} == {
            name: {written} for name in said
        }

    await asyncio.to_thread(ask)
