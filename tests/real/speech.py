"""Ask a server with a real model for texts, and compare them with what was said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import requests

from benchmark.accuracy.speech_folder import Sample
from benchmark.accuracy.speech_scores import of_language
from tests.conftest import Server

ANSWER_SECONDS = 900  # A request waits at most so many seconds: the machine may be busy.
TRANSCRIPTIONS = "/v1/audio/transcriptions"


def post(server: Server, path: str, audio: Path, **fields: Any) -> str:
    """Send a form with the audio and the fields, and return the answer's body."""
    answer = requests.post(
        server.url + path,
        data={"model": "whisper-1", **fields},
        files={"file": (audio.name, audio.read_bytes())},
        timeout=ANSWER_SECONDS,
    )
    assert answer.status_code == 200, answer.text
    answer.encoding = "utf-8"
    return answer.text


def verbose(server: Server, audio: Path, **fields: Any) -> dict[str, Any]:
    """Return the verbose_json of a recording, with its words."""
    granularities = {"timestamp_granularities[]": ["segment", "word"]}
    body = post(
        server, TRANSCRIPTIONS, audio, response_format="verbose_json", **granularities, **fields
    )
    answer: dict[str, Any] = json.loads(body)
    return answer


def text_of(server: Server, sample: Sample) -> str:
    """Return the text of a sample in its language."""
    body = post(server, TRANSCRIPTIONS, sample.audio, language=sample.language)
    return str(json.loads(body)["text"])


def streamed(server: Server, audio: Path, **fields: Any) -> list[dict[str, Any]]:
    """Return all events of a streamed transcription."""
    body = post(server, TRANSCRIPTIONS, audio, stream="true", **fields)
    lines = [line for line in body.splitlines() if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def phrases(text: str, language: str, words: int = 3) -> list[str]:
    """Return the sentences of at least so many words, as the normaliser writes them."""
    sentences = (of_language(language)(one) for one in text.split("."))
    return [one for one in sentences if len(one.split()) >= words]


def time_faults(answer: dict[str, Any], seconds: float) -> list[str]:
    """Return what is wrong with the times of words and segments, a line each."""
    faults = []
    for kind, text in (("words", "word"), ("segments", "text")):
        last = 0.0
        for one in answer[kind]:
            if not last - 1e-3 <= one["start"] <= one["end"] <= seconds + 0.05:
                faults.append(f"{kind}: {one[text]!r} from {one['start']} to {one['end']}")
            last = one["end"]
    return faults
