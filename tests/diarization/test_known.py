"""Names for voices."""

import numpy as np

from asr.diarization.diarizer import Diarization, VoiceTurn
from asr.diarization.known import identify
from asr.options import KnownSpeaker
from asr.transcript import Speaker

AXES = [tuple(row) for row in np.eye(4).tolist()]
HEARD = Diarization((VoiceTurn(0, 1, 0), VoiceTurn(1, 2, 1), VoiceTurn(3, 4, 0)), tuple(AXES[:2]))


def between(first, second, share):
    """A voice that has the cosine `share` with the first."""
    mixed = share * np.array(AXES[first]) + (1 - share**2) ** 0.5 * np.array(AXES[second])
    return tuple(mixed.tolist())


def speakers(known):
    turns, missing = identify(HEARD, [KnownSpeaker(name, voice) for name, voice in known])
    return [turn.speaker for turn in turns], missing


def test_without_known_speakers_voices_have_numbers():
    assert speakers([]) == ([Speaker(0), Speaker(1), Speaker(0)], ())


def test_a_voice_that_is_alike_has_the_name():
    found, missing = speakers([("Ann", between(1, 3, 0.8))])
    assert found == [Speaker(0), Speaker(1, "Ann"), Speaker(0)]
    assert missing == ()


def test_a_voice_that_is_unlike_has_none():
    found, missing = speakers([("Ann", between(1, 3, 0.5))])
    assert found == [Speaker(0), Speaker(1), Speaker(0)]
    assert missing == ("Ann",)


def test_each_voice_has_one_name_and_each_name_one_voice():
    found, missing = speakers(
        [("Ann", between(0, 3, 0.7)), ("Bob", between(0, 3, 0.9)), ("Cid", between(1, 0, 0.8))]
    )
    assert found == [Speaker(0, "Bob"), Speaker(1, "Cid"), Speaker(0, "Bob")]
    assert missing == ("Ann",)


def test_where_nobody_speaks_all_are_missing():
    assert identify(Diarization(), [KnownSpeaker("Ann", AXES[0])]) == ((), ("Ann",))
