"""RTTM: a line for each turn, as NIST's and pyannote's readers expect it."""

from asr.formats.rttm import rttm
from asr.transcript import Speaker, SpeakerTurn


def test_each_turn_is_a_line_of_ten_fields():
    turns = (
        SpeakerTurn(0.5, 2.25, Speaker(0)),
        SpeakerTurn(2.0, 3661.0004, Speaker(1, "Ada  of\tLovelace\n")),
        SpeakerTurn(4.0, 4.0001, Speaker(0)),
    )
    assert rttm(turns, "two people.flac") == (
        "SPEAKER two_people.flac 1 0.500 1.750 <NA> <NA> SPEAKER_00 <NA> <NA>\n"
        "SPEAKER two_people.flac 1 2.000 3659.000 <NA> <NA> Ada_of_Lovelace <NA> <NA>\n"
    )
    assert all(len(line.split(" ")) == 10 for line in rttm(turns, " ").splitlines())


def test_silence_has_no_lines():
    assert rttm(()) == ""
