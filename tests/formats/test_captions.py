"""Cues can be read: short lines, few of them, in order, none lost."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.formats.captions import SHORTEST_CUE, Captioner, Cue, Layout, cues, words_of
from asr.transcript import Segment, Speaker, Word

LETTERS = st.characters(categories=["L", "N", "P", "M", "S"])
ANYTHING = st.characters(exclude_categories=["Cs"])  # controls and white space of all kinds too
WORDS = st.one_of(
    st.text(LETTERS, min_size=1, max_size=60),
    st.text(ANYTHING, min_size=1, max_size=10),
    st.sampled_from(["-->", "1", "WEBVTT", "NOTE", "&lt;", "<v Ann>", "שָׁלוֹם", "مرحبا", "👩‍👩‍👧"]),
)
SPACES = st.sampled_from([" ", "  ", "\n", "\t"])
TIMES = st.floats(0, 100)


@st.composite
def texts(draw):
    parts = draw(st.lists(st.tuples(SPACES, WORDS), max_size=30))
    return "".join(space + word for space, word in parts)


@st.composite
def timed(draw):
    """A segment, with times of its words or without, at any time, of any length."""
    start, end = sorted([draw(TIMES), draw(TIMES)])
    text = draw(texts())
    segment = Segment(start, end, text)
    if draw(st.booleans()):
        words = [replace_times(word, draw(TIMES), draw(TIMES)) for word in words_of(segment)]
        return Segment(start, end, "".join(word.text for word in words), tuple(words))
    return segment


def replace_times(word, one, other):
    return Word(word.text, min(one, other), max(one, other))


def captions(segments, layout=None):
    captioner = Captioner(layout or Layout())
    return [*(cue for s in segments for cue in captioner.push(s)), *captioner.finish()]


def letters(text):
    return "".join(text.split())


@settings(max_examples=200)
@given(st.lists(timed(), max_size=5), st.integers(1, 50), st.integers(1, 3))
def test_cues_hold_every_letter_in_order_within_their_layout(segments, width, count):
    found = captions(segments, Layout(width, count))
    shown = "".join(letters(line) for cue in found for line in cue.lines)
    assert shown == letters("".join(segment.text for segment in segments))
    for cue in found:
        assert 1 <= len(cue.lines) <= count
        assert all(1 <= len(line) <= width for line in cue.lines)
        assert cue.start < cue.end
    assert all(before.end <= after.start for before, after in pairwise(found))


@settings(max_examples=100)
@given(st.lists(st.text(LETTERS, min_size=1, max_size=42), min_size=1, max_size=30))
def test_a_word_that_fits_a_line_is_never_broken(words):
    found = captions([Segment(0.0, 9.0, " " + " ".join(words))])
    assert [w for cue in found for line in cue.lines for w in line.split()] == words


def test_lines_are_of_even_length():
    [cue] = cues(Segment(0.0, 2.0, " the quick brown fox jumps over the lazy old dog"), Layout())
    assert cue.lines == ("the quick brown fox jumps", "over the lazy old dog")


def test_without_word_times_a_long_segment_is_parted_by_its_letters():
    first, second = cues(Segment(10.0, 20.0, " " + " ".join(["word"] * 24)), Layout(30, 2))
    assert (first.start, second.end) == (10_000, 20_000)
    assert first.end == second.start == pytest.approx(15_000, abs=100)


def test_with_word_times_a_cue_lasts_from_its_first_word_to_its_last():
    words = (Word(" one", 1.0, 1.5), Word(" two", 2.0, 2.25), Word(" three", 6.0, 7.0))
    found = cues(Segment(0.0, 8.0, " one two three", words), Layout(7, 1))
    assert found == [Cue(1000, 2250, ("one two",)), Cue(6000, 7000, ("three",))]


def test_words_that_are_not_the_text_give_way_to_it():
    segment = Segment(0.0, 2.0, " one two", (Word(" one", 0.0, 1.0),))
    assert [word.text for word in words_of(segment)] == ["one", " two"]


def test_text_without_spaces_is_broken_after_punctuation():
    text = "今天我们很高兴地宣布新的模型。它的速度提高了八倍"
    [cue] = cues(Segment(0.0, 4.0, text), Layout(20, 2))
    assert cue.lines == ("今天我们很高兴地宣布新的模型。", "它的速度提高了八倍")


def test_a_mark_stays_with_its_letter():
    [first, *_] = cues(Segment(0.0, 4.0, "กำลังสวัสดีครับ" * 3), Layout(4, 1))
    assert first.lines == ("กำลั",)


def test_a_cue_ends_where_the_next_one_starts():
    found = captions([Segment(0.0, 5.0, " a"), Segment(4.0, 8.0, " b")])
    assert [(cue.start, cue.end) for cue in found] == [(0, 4000), (4000, 8000)]


def test_a_cue_without_a_length_stays_long_enough_to_be_read():
    found = captions([Segment(1.0, 1.0, " a"), Segment(3.0, 3.0, " b")])
    assert [(cue.start, cue.end) for cue in found] == [(1000, 1500), (3000, 3500)]
    found = captions([Segment(1.0, 1.0, " a"), Segment(1.2, 3.0, " b")])
    assert [(cue.start, cue.end) for cue in found] == [(1000, 1200), (1200, 3000)]


def test_cues_that_start_at_once_follow_each_other():
    found = captions([Segment(0.0, 5.0, " a"), Segment(0.0, 5.0, " b")])
    assert [(cue.start, cue.end) for cue in found] == [(0, SHORTEST_CUE), (SHORTEST_CUE, 5000)]


def test_silence_has_no_cue():
    assert captions([]) == captions([Segment(0.0, 1.0, " ")]) == []


NAMES = st.one_of(st.none(), st.text(LETTERS, min_size=1, max_size=30))


@settings(max_examples=150)
@given(timed(), NAMES, st.integers(1, 60), st.integers(1, 3))
def test_every_cue_of_a_speaker_begins_with_the_name_within_the_layout(segment, name, width, count):
    segment = replace(segment, speaker=Speaker(3, name))
    prefix = f"{name or 'SPEAKER_03'}: "
    found = cues(segment, Layout(width, count), names_speakers=True)
    shown = ["\n".join(cue.lines).removeprefix(prefix.strip()) for cue in found]
    assert all("\n".join(cue.lines).startswith(prefix.strip()) for cue in found)
    assert letters("".join(shown)) == letters(segment.text)
    for cue in found:
        lines = cue.lines if 2 * len(prefix) <= width else cue.lines[1:]
        assert 1 <= len(lines) <= count
        assert all(1 <= len(line) <= width for line in lines)


def test_a_long_name_has_a_line_of_its_own():
    segment = Segment(0.0, 2.0, " one two", speaker=Speaker(0, "The second chairwoman"))
    [cue] = cues(segment, Layout(20, 2), names_speakers=True)
    assert cue.lines == ("The second chairwoman:", "one two")


def test_a_speakers_first_line_leaves_room_for_the_name():
    segment = Segment(0.0, 2.0, " the quick brown fox jumps over the lazy old dog")
    segment = replace(segment, speaker=Speaker(11))
    [cue] = cues(segment, Layout(), names_speakers=True)
    assert cue.lines == ("SPEAKER_11: the quick brown fox", "jumps over the lazy old dog")
    [cue] = cues(segment, Layout())
    assert cue.lines == ("the quick brown fox jumps", "over the lazy old dog")
    assert cue.speaker == "SPEAKER_11"
