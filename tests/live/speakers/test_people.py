"""People keep their numbers for the whole session, whatever is said between."""

import math

import numpy as np
import pytest

from asr.diarization.diarizer import Diarization, VoiceTurn
from asr.live.speakers import people
from asr.live.speakers.people import SessionPeople

ANNE, BERT = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


def window(*spoken: tuple[float, tuple[float, ...]]) -> Diarization:
    """Return turns one after the other, each so many seconds of a voice of its own."""
    turns, end = [], 0.0
    for number, (seconds, _) in enumerate(spoken):
        turns.append(VoiceTurn(end, end + seconds, number))
        end += seconds
    return Diarization(tuple(turns), tuple(voice for _, voice in spoken))


def numbers(known: SessionPeople, *spoken: tuple[float, tuple[float, ...]]) -> list[int]:
    return [turn.speaker.number for turn in known.turns(window(*spoken), 0.0)]


def like(voice: tuple[float, ...], cosine: float) -> tuple[float, ...]:
    """Return a voice with this cosine to another one, and with none to Anne's and Bert's else."""
    other = math.sqrt(1 - cosine**2)
    return tuple(np.array(voice) * cosine + np.array([0.0, 0.0, other]))


def test_a_voice_that_comes_again_is_the_same_persons():
    known = SessionPeople()
    assert numbers(known, (3.0, ANNE)) == [0]
    assert numbers(known, (3.0, BERT), (2.0, ANNE), (2.0, like(BERT, 0.6))) == [1, 0, 1]
    assert numbers(known, (2.0, like(ANNE, 0.5)), (3.0, BERT)) == [0, 1]


def test_times_count_from_the_sessions_start():
    [turn] = SessionPeople().turns(window((2.0, ANNE)), 100.0)
    assert (turn.start, turn.end) == (100.0, 102.0)


def test_a_moment_of_speech_makes_nobody_new_and_teaches_nothing():
    known = SessionPeople()
    assert numbers(known, (3.0, ANNE), (3.0, BERT)) == [0, 1]
    for _ in range(50):
        assert numbers(known, (0.6, like(BERT, 0.2))) == [1]
    assert numbers(known, (2.0, like(BERT, 0.2))) == [2]


def test_a_voice_of_many_seconds_must_be_more_alike():
    known = SessionPeople()
    assert numbers(known, (3.0, ANNE), (2.0, like(ANNE, 0.35))) == [0, 0]
    known = SessionPeople()
    assert numbers(known, (3.0, ANNE), (3.0, like(ANNE, 0.35))) == [0, 1]


def test_the_first_moment_of_speech_is_somebodys():
    known = SessionPeople()
    assert numbers(known, (0.3, ANNE)) == [0]
    assert numbers(known, (2.0, ANNE), (2.0, BERT)) == [0, 1]


def test_in_silence_nobody_is_found():
    known = SessionPeople()
    assert known.turns(Diarization(), 0.0) == []
    assert numbers(known, (2.0, ANNE)) == [0]


def test_an_hour_of_speech_takes_no_more_memory_than_a_minute(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(people, "MOST_PEOPLE", 4)
    known = SessionPeople()
    for voice in np.eye(8):
        numbers(known, (3.0, tuple(voice)))
    for _ in range(1_000):
        assert numbers(known, (3.0, (0.0, 0.0, 1.0, *[0.0] * 5))) == [2]
    assert len(known._sums) == len(known._seconds) == 4
