"""The pipeline's shape: the text, and chunks for segments or for words."""

from __future__ import annotations

import pytest

from asr.formats.pipeline_json import pipeline_json
from asr.transcript import Segment, Transcript, Word

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
