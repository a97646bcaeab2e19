"""People keep their numbers for the whole session, whatever is said between."""

import math

import numpy as np
import pytest

from asr.diarization.diarizer import Diarization, VoiceTurn
from asr.live.speakers import people
from asr.live.speakers.people import HeardVoice, SessionPeople

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


def test_a_short_voice_that_is_half_like_somebodys_makes_nobody_new():
    known, axes = SessionPeople(), np.eye(12)
    assert numbers(known, (3.0, tuple(axes[0]))) == [0]
    for other in axes[1:]:
        unsure = tuple(0.28 * axes[0] + math.sqrt(1 - 0.28**2) * other)
        assert numbers(known, (1.5, unsure)) == [0]
    assert numbers(known, (3.0, tuple(axes[1]))) == [1]


def test_voices_that_are_unsure_and_alike_are_a_new_persons_together():
    known = SessionPeople()
    assert numbers(known, (3.0, ANNE), (3.0, BERT)) == [0, 1]
    assert numbers(known, (1.3, like(BERT, 0.28))) == [1]
    assert numbers(known, (2.0, ANNE), (1.3, like(BERT, 0.28))) == [0, 2]
    assert numbers(known, (1.3, like(BERT, 0.28)), (1.3, BERT)) == [2, 1]


def test_a_short_voice_that_is_like_nobodys_is_new_at_once():
    known = SessionPeople()
    assert numbers(known, (3.0, ANNE)) == [0]
    assert numbers(known, (1.2, like(ANNE, 0.2))) == [1]


def test_a_window_is_told_by_all_that_is_in_it():
    known = SessionPeople()
    assert numbers(known, (3.0, ANNE)) == [0]
    assert numbers(known, (0.6, like(BERT, 0.9)), (3.0, BERT)) == [1, 1]


@pytest.mark.parametrize("seconds", [1.0, 1.5, 3.0, 8.0])
@pytest.mark.parametrize("before", [1.0, 4.0, 60.0])
def test_one_persons_voices_have_a_likeness_of_one_whatever_their_lengths(
    seconds: float, before: float
):
    rng, size = np.random.default_rng(0), 192

    def voice(person: np.ndarray, length: float) -> np.ndarray:
        noise = rng.standard_normal(size) * math.sqrt(people.HALF_SECONDS / length / size)
        return (person + noise) / np.linalg.norm(person + noise)

    own, others = [], []
    for _ in range(200):
        person, other = (one / np.linalg.norm(one) for one in rng.standard_normal((2, size)))
        known = HeardVoice(voice(person, 1.0), 1.0)
        for _ in range(round(before) - 1):
            known.add(voice(person, 1.0), 1.0)
        own.append(known.likeness(voice(person, seconds), seconds))
        others.append(known.likeness(voice(other, seconds), seconds))
    assert np.mean(own) == pytest.approx(1, abs=0.05)
    assert np.mean(others) == pytest.approx(0, abs=0.05)


def test_an_hour_of_speech_takes_no_more_memory_than_a_minute(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(people, "MOST_PEOPLE", 4)
    known = SessionPeople()
    for voice in np.eye(8):
        numbers(known, (3.0, tuple(voice)))
    for _ in range(1_000):
        assert numbers(known, (3.0, (0.0, 0.0, 1.0, *[0.0] * 5))) == [2]
    assert len(known._known) == 4


def test_few_voices_stay_unsure():
    known, axes = SessionPeople(), np.eye(300)
    numbers(known, (3.0, tuple(axes[0])))
    for other in axes[1:]:
        numbers(known, (1.5, tuple(0.28 * axes[0] + math.sqrt(1 - 0.28**2) * other)))
    assert len(known._known) == 1
    assert len(known._unsure) == people.MOST_PEOPLE
