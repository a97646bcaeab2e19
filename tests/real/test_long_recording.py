"""A real model writes a recording of minutes from its first word to its last."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmark.accuracy import speech_folder as folders
from benchmark.accuracy.speech_folder import RECORDINGS, Sample
from benchmark.accuracy.speech_scores import lost_places, of_language
from tests.clients.readers import readings
from tests.conftest import Server
from tests.real.speech import TRANSCRIPTIONS, post, streamed, time_faults, verbose

pytestmark = pytest.mark.real

KNOWN_WELL = ("es", "en", "fr")  # The longest recording is taken in the first of these.
SHORTEST = 45.0  # A recording of fewer seconds is not a long one.
PARTS = 6  # The words are counted in so many parts of the recording.
MOST_LOST = 0.3  # Of each part at most this share of the words may be lost.
LONGEST_GAP = 5.0  # Nowhere is speech of so many seconds left without a text.


@pytest.fixture(scope="module")
def recording(speech_folder: Path) -> Sample:
    found = folders.read(speech_folder, [RECORDINGS])
    languages = {sample.language for sample in found}
    chosen = next((code for code in KNOWN_WELL if code in languages), found[0].language)
    longest = max((s for s in found if s.language == chosen), key=lambda sample: sample.seconds)
    if longest.seconds < SHORTEST:
        pytest.skip(f"no recording of {SHORTEST:g} s in {RECORDINGS}/{chosen}")
    return longest


@pytest.fixture(scope="module")
def answer(real_server: Server, recording: Sample) -> dict[str, Any]:
    return verbose(real_server, recording.audio, language=recording.language)


def test_no_part_of_it_is_missing(recording: Sample, answer: dict[str, Any]) -> None:
    normalise = of_language(recording.language)
    said = normalise(recording.text)
    lost = lost_places(said, normalise(answer["text"]))
    count = len(said.split())
    shares = [0.0] * PARTS
    for place in lost:
        shares[place * PARTS // count] += PARTS / count
    assert max(shares) <= MOST_LOST, shares
    gaps = [gap["end"] - gap["start"] for gap in answer["coverage"]["gaps"]]
    assert max(gaps, default=0) < LONGEST_GAP, answer["coverage"]


def test_its_times_are_in_order_from_beginning_to_end(
    recording: Sample, answer: dict[str, Any]
) -> None:
    assert time_faults(answer, recording.seconds) == []
    assert answer["segments"][0]["start"] < LONGEST_GAP
    assert recording.seconds - LONGEST_GAP < answer["segments"][-1]["end"]


def test_a_stream_has_the_same_text_as_the_whole(
    real_server: Server, recording: Sample, answer: dict[str, Any]
) -> None:
    events = streamed(real_server, recording.audio, language=recording.language)
    deltas = [one["delta"] for one in events if one["type"] == "transcript.text.delta"]
    assert len(deltas) > 1
    assert "".join(deltas) == events[-1]["text"] == answer["text"]


def test_its_subtitles_have_the_same_words(
    real_server: Server, recording: Sample, answer: dict[str, Any]
) -> None:
    fields = {"response_format": "srt", "language": recording.language}
    body = post(real_server, TRANSCRIPTIONS, recording.audio, **fields)
    assert all(words == answer["text"].split() for words in readings("srt", body).values())


def test_a_prompt_with_its_words_hides_none_of_them(
    real_server: Server, recording: Sample, answer: dict[str, Any]
) -> None:
    fields = {"prompt": recording.text[:200], "language": recording.language}
    body = post(real_server, TRANSCRIPTIONS, recording.audio, **fields)
    prompted, plain = len(json.loads(body)["text"].split()), len(answer["text"].split())
    assert 0.8 * plain <= prompted <= 1.25 * plain
