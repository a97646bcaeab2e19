"""Utterances begin and end with speech; every sample is in one of them or in none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.live.endpointing import Boundary, Edge, Endpointer, Frames
from asr.live.options import TurnDetection

FRAME = 512
LONGEST = 100 * FRAME
TURNS = TurnDetection(silence=10 * FRAME / 16_000, prefix_padding=4 * FRAME / 16_000)


def frames(text: str, first: int = 0, power: list[float] | None = None) -> Frames:
    """Frames by letters: `S` is surely speech, `l` likely, all others none."""
    sure = np.array([letter == "S" for letter in text], bool)
    likely = np.array([letter in "Sl" for letter in text], bool)
    return Frames(first, sure, likely, np.array(power or [0.1] * len(text)))


def boundaries(endpointer: Endpointer, text: str, **how) -> list[tuple[Edge, float]]:
    """Boundaries with their places in frames."""
    return [(each.edge, each.at / FRAME) for each in endpointer.push(frames(text, **how))]


def test_an_utterance_begins_before_its_speech_and_ends_with_its_pause():
    found = boundaries(Endpointer(TURNS, LONGEST), "." * 20 + "S" * 30 + "." * 20)
    assert found == [(Edge.START, 16), (Edge.END, 60)]


@pytest.mark.parametrize("text", ["." * 20 + "SS" + "." * 20, "l" * 40, "." * 200])
def test_clicks_and_what_is_only_likely_are_no_speech(text):
    assert boundaries(Endpointer(TURNS, LONGEST), text) == []


def test_likely_speech_goes_on_where_sure_speech_was():
    found = boundaries(Endpointer(TURNS, LONGEST), "S" * 5 + "l" * 20 + "." * 10)
    assert found == [(Edge.START, 0), (Edge.END, 35)]


def test_pauses_between_words_end_no_utterance_whatever_silence_is_asked():
    endpointer = Endpointer(TurnDetection(silence=0.0, prefix_padding=0.0), LONGEST)
    found = boundaries(endpointer, ("S" * 5 + "." * 4) * 3 + "." * 3)
    assert found == [(Edge.START, 0), (Edge.END, 30)]


def test_no_utterance_begins_in_the_one_before():
    found = boundaries(Endpointer(TURNS, LONGEST), "S" * 5 + "." * 10 + "SSS")
    assert found == [(Edge.START, 0), (Edge.END, 15), (Edge.START, 15)]


def test_what_does_not_end_is_cut_where_it_is_quietest_near_the_longest_window():
    power = [0.1] * 130
    power[10:20] = [0.0] * 10  # too early
    power[80:89] = [0.01] * 9
    found = boundaries(Endpointer(TURNS, LONGEST), "S" * 130, power=power)
    assert found == [(Edge.START, 0), (Edge.END, 84.5), (Edge.START, 84.5)]


def test_no_cut_lies_before_words_that_are_given_out():
    endpointer = Endpointer(TURNS, LONGEST)
    endpointer.floor = 90 * FRAME
    power = [0.1] * 130
    power[70:80] = [0.0] * 10
    power[94] = 0.05
    found = boundaries(endpointer, "S" * 130, power=power)
    assert found[1][1] >= 90


def test_without_turns_the_audio_is_cut_but_never_ends():
    found = boundaries(Endpointer(None, LONGEST), "." * 250)
    assert [edge for edge, _ in found] == [Edge.START, Edge.CUT, Edge.CUT]


def test_a_closed_utterance_is_followed_by_another_at_that_place():
    endpointer = Endpointer(TURNS, LONGEST)
    assert boundaries(endpointer, "S" * 20) == [(Edge.START, 0)]
    endpointer.close(20 * FRAME + 7)
    assert list(endpointer.push(frames("S" * 5, first=20))) == [
        Boundary(Edge.START, 20 * FRAME + 7)
    ]


@given(
    st.text("S.l", max_size=600),
    st.lists(st.integers(1, 90), max_size=40),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_utterances_follow_each_other_and_none_is_longer_than_a_window(text, cuts, has_turns, seed):
    power = np.random.default_rng(seed).random(len(text)).tolist()
    turns = TURNS if has_turns else None
    whole = list(Endpointer(turns, LONGEST).push(frames(text, power=power)))
    endpointer, parts, place = Endpointer(turns, LONGEST), [], 0
    for count in [*cuts, len(text)]:
        part = text[place : place + count]
        parts += endpointer.push(frames(part, place, power[place : place + count]))
        place += len(part)
    assert parts == whole, "it depends on how the audio is divided"
    end, begin = 0, None
    for boundary in whole:
        if boundary.edge is Edge.START:
            assert begin is None
            assert boundary.at >= end
            begin = boundary.at
        else:
            assert begin is not None
            assert begin < boundary.at <= begin + LONGEST
            end = boundary.at
            begin = end if boundary.edge is Edge.CUT else None
    if begin is not None:
        assert len(text) * FRAME - begin <= LONGEST
