"""The pipeline's shape: the text, and chunks for segments or for words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asr.formats.pipeline_json import pipeline_json
from asr.transcript import Segment, Speaker, SpeakerTurn, Transcript, Word

WORDS = (Word(" one", 0.0, 0.4), Word(" two", 0.4, 1.0))
LAST = (Word(" three", 2.0, 3.0),)
SAID = Transcript(
    (Segment(0.0, 1.0, " one two", WORDS), Segment(2.0, 3.0, " three", LAST)), "en", 3.0
)


@pytest.mark.parametrize(
    ("timestamps", "chunks"),
    [
        ("segment", [([0.0, 1.0], " one two"), ([2.0, 3.0], " three")]),
        ("word", [([0.0, 0.4], " one"), ([0.4, 1.0], " two"), ([2.0, 3.0], " three")]),
        ("none", []),
    ],
)
def test_the_text_is_whole_and_the_chunks_are_what_was_asked(timestamps, chunks):
    assert pipeline_json(SAID, timestamps) == {
        "text": " one two three",
        "chunks": [{"timestamp": times, "text": text} for times, text in chunks],
    }


def test_silence_is_an_empty_text_without_chunks():
    assert pipeline_json(Transcript((), None, 2.0), "word") == {"text": "", "chunks": []}


ADA, OTHER = Speaker(0, "Ada"), Speaker(1)
TURNS = (SpeakerTurn(0.0, 1.0, ADA), SpeakerTurn(2.0, 3.0, OTHER))


def spoken(*speakers):
    segments = zip(SAID.segments, speakers, strict=True)
    return replace(SAID, segments=tuple(replace(s, speaker=w) for s, w in segments), turns=TURNS)


@pytest.mark.parametrize(
    ("timestamps", "expected"),
    [
        ("segment", [("Ada", [0.0, 1.0], " one two"), ("SPEAKER_01", [2.0, 3.0], " three")]),
        (
            "word",
            [
                ("Ada", [0.0, 0.4], " one"),
                ("Ada", [0.4, 1.0], " two"),
                ("SPEAKER_01", [2.0, 3.0], " three"),
            ],
        ),
        ("none", []),
    ],
)
def test_each_chunk_comes_again_with_its_speaker(timestamps, expected):
    found = pipeline_json(spoken(ADA, OTHER), timestamps)
    assert found.pop("speakers") == [
        {"speaker": speaker, "timestamp": times, "text": text} for speaker, times, text in expected
    ]
    assert found == pipeline_json(SAID, timestamps)


def test_text_that_no_speaker_is_known_of_is_a_chunk_alone():
    found = pipeline_json(spoken(None, OTHER), "segment")
    assert [each["text"] for each in found["speakers"]] == [" three"]
    assert len(found["chunks"]) == 2
    assert pipeline_json(Transcript((), None, 2.0, turns=()), "segment")["speakers"] == []
