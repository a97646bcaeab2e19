"""Real speech through the dialects, in a real process: what clients read of it is true."""

import json
from itertools import pairwise

import pytest
import requests

from benchmark.recordings import flac
from models.demo import synthesise

SECONDS = 120


@pytest.fixture(scope="module")
def spoken():
    return flac(synthesise.recording(8, "en", seed=5).samples)


def transcribe(server, audio, **fields):
    url = server.url + "/v1/audio/transcriptions"
    answer = requests.post(url, data=fields, files={"file": audio}, timeout=SECONDS)
    assert answer.status_code == 200, answer.text
    return answer


def test_the_tokens_are_the_text_and_as_likely_as_their_segments(server, spoken):
    answer = transcribe(
        server, spoken, **{"response_format": "verbose_json", "include[]": "logprobs"}
    ).json()
    tokens = answer["logprobs"]
    assert b"".join(bytes(token["bytes"]) for token in tokens).decode() == answer["text"]
    assert all(token["logprob"] <= 0 for token in tokens)
    assert all(segment["avg_logprob"] < 0 and segment["tokens"] for segment in answer["segments"])
    assert all(0 <= segment["no_speech_prob"] <= 1 for segment in answer["segments"])
    assert not any("avg_logprob" in warning for warning in answer.get("warnings", []))


@pytest.mark.parametrize("code", ["en", "es"])
def test_the_language_that_is_spoken_is_the_likeliest(server, code):
    clip = flac(synthesise.recording(6, code, seed=21).samples)
    url = server.url + "/v1/audio/language"
    found = requests.post(url, files={"file": clip}, timeout=SECONDS).json()
    likely = list(found["probabilities"].values())
    assert found["language"] == code == next(iter(found["probabilities"]))
    assert found["probability"] > 0.5
    assert sum(likely) == pytest.approx(1, abs=1e-3)
    assert all(more >= less for more, less in pairwise(likely))
    other = {"en": "es", "es": "en"}[code]
    forced = requests.post(
        server.url + "/detect-language", params={"languages": other}, data=clip, timeout=SECONDS
    ).json()
    assert (forced["language"], forced["probabilities"]) == (other, {other: 1.0})


def test_a_higher_threshold_lets_through_less_speech_and_the_same_words(server, spoken):
    def asked(threshold):
        strategy = {"type": "server_vad", "threshold": threshold}
        fields = {"response_format": "verbose_json", "chunking_strategy": json.dumps(strategy)}
        return transcribe(server, spoken, **fields).json()

    plain = transcribe(server, spoken, response_format="verbose_json").json()
    low, usual, high = map(asked, (0.1, 0.5, 0.9))
    assert usual == plain
    assert low["coverage"]["speech"] > usual["coverage"]["speech"] > high["coverage"]["speech"]
    assert low["text"] == usual["text"] == high["text"]


def test_only_an_allowed_language_is_written(server, spoken):
    fields = {"languages[]": ["es"], "response_format": "verbose_json", "strict": "true"}
    assert transcribe(server, spoken, **fields).json()["language"] == "spanish"
