"""A real model writes what was said in a recording that everybody knows."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from benchmark.accuracy.speech_scores import of_language
from tests.clients.readers import readings
from tests.conftest import Server
from tests.real.speech import (
    ANSWER_SECONDS,
    TRANSCRIPTIONS,
    post,
    streamed,
    time_faults,
    verbose,
)

pytestmark = pytest.mark.real

SECONDS = 11.0  # The recording lasts so many seconds.
AT_ONCE = 8  # So many callers send it together.


def assert_famous(text: str) -> None:
    plain = of_language("en")(text)
    for phrase in (
        "my fellow americans",
        "your country can do for you",
        "ask what you can do for your country",
    ):
        assert phrase in plain


def test_the_famous_sentence_is_written_by_both_routes(real_server: Server, jfk: Path) -> None:
    native = requests.post(
        real_server.url + "/asr", data=jfk.read_bytes(), timeout=ANSWER_SECONDS
    ).json()
    assert_famous(native["text"])
    assert native["text"] == "".join(chunk["text"] for chunk in native["chunks"])
    openai = json.loads(post(real_server, TRANSCRIPTIONS, jfk))
    assert openai["text"] == native["text"].strip()


def test_its_language_is_detected(real_server: Server, jfk: Path) -> None:
    detected = json.loads(post(real_server, "/v1/audio/language", jfk))
    assert detected["language"] == "en"
    assert detected["probability"] > 0.9
    assert verbose(real_server, jfk)["language"] == "english"


def test_its_words_are_in_order_and_inside_the_audio(real_server: Server, jfk: Path) -> None:
    answer = verbose(real_server, jfk, language="en")
    assert time_faults(answer, SECONDS) == []
    assert [word["word"] for word in answer["words"]] == answer["text"].split()
    starts = {of_language("en")(word["word"]): word["start"] for word in answer["words"]}
    assert 0.5 < starts["americans"] < 2.5
    assert answer["words"][-1]["end"] > 9.0


def test_its_words_are_the_same_in_every_format(real_server: Server, jfk: Path) -> None:
    whole = json.loads(post(real_server, TRANSCRIPTIONS, jfk))["text"].split()
    for name in ("text", "srt", "vtt", "tsv"):
        body = post(real_server, TRANSCRIPTIONS, jfk, response_format=name)
        assert all(words == whole for words in readings(name, body).values()), name


def test_a_stream_has_the_same_text_as_the_whole(real_server: Server, jfk: Path) -> None:
    whole = json.loads(post(real_server, TRANSCRIPTIONS, jfk))["text"]
    events = streamed(real_server, jfk)
    deltas = [one["delta"] for one in events if one["type"] == "transcript.text.delta"]
    assert "".join(deltas) == events[-1]["text"] == whole


def test_a_prompt_is_not_written_and_hides_nothing(real_server: Server, jfk: Path) -> None:
    prompt = "President Kennedy, inauguration, Washington, 1961."
    text = json.loads(post(real_server, TRANSCRIPTIONS, jfk, prompt=prompt))["text"]
    assert_famous(text)
    assert "1961" not in text
    assert "inauguration" not in text.lower()


def test_its_translation_into_english_is_what_was_said(real_server: Server, jfk: Path) -> None:
    assert_famous(json.loads(post(real_server, "/v1/audio/translations", jfk))["text"])


def test_callers_together_get_the_text_of_one_alone(real_server: Server, jfk: Path) -> None:
    alone = post(real_server, TRANSCRIPTIONS, jfk)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        together = list(pool.map(lambda _: post(real_server, TRANSCRIPTIONS, jfk), range(AT_ONCE)))
    assert set(together) == {alone}
