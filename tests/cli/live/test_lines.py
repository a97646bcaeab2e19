"""Where no terminal is, an utterance is a line, and an event a JSON object."""

import json

import pytest

from asr.cli.live.lines import EventLines, UtteranceLines, began_at, described
from asr.errors import BadRequest
from asr.live import events
from asr.transcript import Word

STARTED = events.SpeechStarted("a", 1.25)
COMPLETED = events.Completed("a", " Two words.", 1.3, 2.0, "en")


@pytest.fixture
def told():
    """What is printed, and what is warned of."""
    return [], []


def test_a_line_is_an_utterance_and_silence_has_none(told):
    lines = UtteranceLines(told[0].append, told[1].append)
    for event in (STARTED, events.Delta("a", " Two"), events.Hypothesis("a", " word"), COMPLETED):
        lines.show(event)
    lines.show(events.Completed("b", "", 3.0, 4.0, None))
    assert told == (["Two words."], [])


def test_a_line_begins_with_the_time_of_its_speech_where_it_is_wanted(told):
    lines = UtteranceLines(told[0].append, told[1].append, has_times=True)
    lines.show(STARTED)
    lines.show(COMPLETED)
    lines.show(events.Completed("b", " Later.", 3661.0, 3662.0, "en"))
    assert told[0] == ["[0:01.2] Two words.", "[61:01.0] Later."]


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.0, "[0:00.0] "), (59.96, "[1:00.0] "), (7265.04, "[121:05.0] ")]
)
def test_times_are_minutes_and_seconds(seconds, expected):
    assert began_at(seconds) == expected


def test_what_fails_is_no_text(told):
    lines = UtteranceLines(told[0].append, told[1].append)
    lines.show(events.Failed("a", BadRequest("too\nlong")))
    lines.show(events.CommandRefused(ValueError("secret"), "one"))
    assert told[0] == []
    assert told[1][0] == "too long"
    assert "secret" not in told[1][1]


def test_events_are_json_without_what_is_empty():
    assert described(STARTED) == {"type": "speech_started", "item_id": "a", "at": 1.25}
    assert described(events.Cleared()) == {"type": "cleared"}
    word = Word(" Two", 1.30004, 1.5, 0.9)
    completed = events.Completed("a", " Two", 1.3, 2.0, "en", {"en": 0.75}, (word,))
    assert described(completed) == {
        "type": "completed",
        "item_id": "a",
        "text": " Two",
        "start": 1.3,
        "end": 2.0,
        "language": "en",
        "probabilities": {"en": 0.75},
        "words": [{"text": " Two", "start": 1.3, "end": 1.5, "probability": 0.9}],
    }
    failed = described(events.Failed("a", BadRequest("no")))
    assert failed["error"] == {"code": "bad_request", "message": "no"}


def test_each_event_is_a_line_of_json(told):
    lines = EventLines(told[0].append, told[1].append)
    lines.show(STARTED)
    lines.show(events.Delta("a", " ¿Qué\n"))
    assert [json.loads(line)["type"] for line in told[0]] == ["speech_started", "delta"]
    assert "¿Qué\\n" in told[0][1]
