"""Segments and words begin and end with speech, in order, within each other, never empty."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.transcript import Segment, Word
from asr.vad.word_trim import TimeTrimmer
from tests.conftest import KnownSpeech


def trimmed(segment: Segment, *spoken: tuple[float, float]) -> Segment:
    [one] = TimeTrimmer(KnownSpeech(*spoken)).trim([segment])
    return one


def times(*timed: Segment | Word) -> list[tuple[float, float]]:
    return [(one.start, one.end) for one in timed]


def said(*words: tuple[str, float, float]) -> Segment:
    made = tuple(Word(f" {text}", start, end) for text, start, end in words)
    return Segment(made[0].start, made[-1].end, "".join(word.text for word in made), made)


def test_a_word_that_includes_the_pause_before_it_begins_with_its_speech():
    segment = said(("americans", 1.5, 2.2), ("ask", 2.2, 3.7), ("not", 3.7, 4.4))
    assert times(*trimmed(segment, (1.5, 2.2), (3.3, 4.4)).words) == [
        (1.5, 2.2),
        (3.3, 3.7),
        (3.7, 4.4),
    ]


def test_a_word_that_includes_the_pause_after_it_ends_with_its_speech():
    segment = said(("americans", 1.5, 3.3), ("ask", 3.3, 3.7))
    assert times(*trimmed(segment, (1.5, 2.2), (3.3, 3.7)).words) == [(1.5, 2.2), (3.3, 3.7)]


def test_speech_on_the_other_side_of_a_pause_is_the_neighbours():
    segment = said(("americans", 1.5, 2.0), ("ask", 2.0, 3.7))
    assert times(*trimmed(segment, (1.5, 2.2), (3.3, 3.7)).words) == [(1.5, 2.2), (3.3, 3.7)]


def test_a_short_pause_is_part_of_a_word():
    segment = said(("stopped", 1.0, 2.0))
    assert times(*trimmed(segment, (1.0, 1.5), (1.6, 2.0)).words) == [(1.0, 2.0)]


def test_a_click_in_a_pause_is_no_speech():
    segment = said(("one", 1.0, 3.0), ("two", 3.0, 3.5))
    assert times(*trimmed(segment, (1.0, 1.5), (2.2, 2.3), (3.0, 3.5)).words) == [
        (1.0, 1.5),
        (3.0, 3.5),
    ]


def test_what_lies_in_no_speech_keeps_its_times():
    segment = said(("one", 1.0, 1.4), ("two", 1.4, 2.0))
    assert trimmed(segment, (4.0, 5.0)) == segment


def test_without_a_detector_times_stay():
    segment = said(("one", 1.0, 1.4))
    assert TimeTrimmer(None).trim([segment]) == (segment,)


def test_a_segment_without_words_loses_the_pauses_at_its_ends():
    segment = Segment(0.0, 8.0, " In the middle, a pause.")
    assert times(trimmed(segment, (1.2, 3.0), (4.0, 6.5))) == [(1.2, 6.5)]


def test_a_segment_is_trimmed_alike_with_words_and_without():
    segment = said(("one", 0.0, 0.5), ("two", 0.5, 3.0))
    bare = Segment(segment.start, segment.end, segment.text)
    spoken = (0.7, 1.0), (1.3, 2.0)
    assert times(trimmed(bare, *spoken)) == times(trimmed(segment, *spoken)) == [(0.7, 2.0)]


def test_a_segment_does_not_begin_with_the_last_sound_of_the_one_before():
    first, second = TimeTrimmer(KnownSpeech((0.0, 2.1), (3.0, 5.0))).trim(
        [Segment(0.0, 2.0, " One."), Segment(2.0, 5.0, " Two.")]
    )
    assert times(first, second) == [(0.0, 2.1), (3.0, 5.0)]


def test_a_segment_with_too_many_words_for_its_speech_keeps_its_times():
    segment = Segment(0.0, 4.0, " one two three four five six seven eight nine ten")
    assert times(trimmed(segment, (1.0, 1.2))) == [(0.0, 4.0)]


@pytest.mark.parametrize("count", [1, 2])
def test_however_segments_are_handed_over_their_times_are_the_same(count):
    spoken = KnownSpeech((0.1, 2.3), (2.9, 4.4), (5.0, 7.7))
    segments = [Segment(n, n + 1.0, " word") for n in range(8)]
    trimmer = TimeTrimmer(spoken)
    parts = [segments[n : n + count] for n in range(0, 8, count)]
    assert [one for part in parts for one in trimmer.trim(part)] == list(
        TimeTrimmer(spoken).trim(segments)
    )


ORDERED = st.lists(st.integers(0, 400), min_size=2, max_size=24, unique=True).map(sorted)


@given(bounds=ORDERED, edges=ORDERED, breaks=st.sets(st.integers(1, 22)))
def test_times_stay_in_order_within_each_other_and_are_never_empty(bounds, edges, breaks):
    words = [Word(" a", *(t / 20 for t in pair)) for pair in pairwise(bounds)]
    cuts = [0, *sorted(cut for cut in breaks if cut < len(words)), len(words)]
    segments = [
        Segment(part[0].start, part[-1].end, " a" * len(part), tuple(part))
        for part in (words[first:last] for first, last in pairwise(cuts))
    ]
    spoken = [tuple(t / 20 for t in pair) for pair in pairwise(edges)][::2]
    result = TimeTrimmer(KnownSpeech(*spoken)).trim(segments)
    for before, after in pairwise(result):
        assert before.end <= after.start
    for segment, original in zip(result, segments, strict=True):
        assert [word.text for word in segment.words] == [word.text for word in original.words]
        moments = [segment.start, *(t for pair in times(*segment.words) for t in pair)]
        assert [*moments, segment.end] == sorted([*moments, segment.end])
        assert all(end > start for start, end in times(segment, *segment.words))
