"""Sessions are doubled until their texts come too late."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.realtime import ramp
from benchmark.realtime.client import ITEM, Played
from benchmark.realtime.figures import Latency
from benchmark.realtime.ramp import Rung, climb, doubled, enough, held, table
from benchmark.realtime.speech import RATE, Speech

WELL = Latency([0.5, 1.0], [0.7], [0.6], [0.0], 0, [])


def speech(name, seconds=1.0):
    return Speech(Path(name), "", bytes(round(2 * RATE * seconds)))


def lagging(seconds):
    """What a session got whose text came so many seconds after its speech."""
    words = [{"word": " no", "start": 0.0, "end": 1.0}]
    event = {"type": f"{ITEM}.completed", "item_id": "a", "transcript": " no", "words": words}
    return Played(speech("a"), [(1.0 + seconds, event)], [0.0])


def test_rungs_are_powers_of_two():
    assert list(doubled(20)) == [1, 2, 4, 8, 16]


@pytest.mark.parametrize(
    ("change", "is_held", "is_judged"),
    [
        ({}, True, True),
        ({"whole": [2.1]}, False, True),
        ({"whole": []}, False, True),
        ({"failures": ["closed with 1013"]}, False, True),
        ({"late": [0.3]}, True, False),
    ],
)
def test_a_rung_is_held_while_all_texts_come_soon(change, is_held, is_judged):
    rung = Rung(4, replace(WELL, **change))
    assert (rung.is_held, rung.is_judged) == (is_held, is_judged)
    assert held([Rung(2, WELL), rung]) == (4 if is_held and is_judged else 2)


async def test_the_ramp_ends_with_the_first_rung_that_is_not_held(monkeypatch):
    at_once = []

    async def play(*_):
        at_once.append(1)
        return [lagging(0.5 if len(at_once) <= 3 else 3.0)]

    monkeypatch.setattr(ramp, "play", play)
    rungs = [rung async for rung in climb(None, [speech("a", 0.0)], doubled(), 1.0, None)]
    assert [rung.sessions for rung in rungs] == [1, 2, 4]
    assert len(at_once) == 7
    assert held(rungs) == 2
    printed = table("sessions alone", rungs)
    assert "sessions alone: 2 held in real time" in printed
    assert "NOT HELD" in printed.splitlines()[4]


def test_each_session_has_recordings_of_its_own_until_the_time_is_over():
    every = [speech("a"), speech("b"), speech("c")]
    assert [one.audio.name for one in enough(every, 1, 7.0)] == ["b", "c", "a"]


def test_failures_are_named_below_the_table():
    printed = table("alone", [Rung(1, replace(WELL, failures=["closed with 1013"]))])
    assert "NOT HELD, 1 failed" in printed
    assert "\nclosed with 1013\n" in printed
