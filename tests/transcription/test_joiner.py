"""Joined windows keep order, words and times, and hold nothing twice."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.engines.engine import Window, WindowResult
from asr.pcm import SAMPLE_RATE
from asr.transcript import Segment, TokenLogprob, Word
from asr.transcription.cutter import Cutter
from asr.transcription.joiner import Joiner, join, splice
from tests.conftest import tone

SECOND = SAMPLE_RATE


def result(start, seconds, *segments, overlap=0.0):
    window = Window(np.zeros(round(seconds * SECOND), np.float32), start, overlap=overlap)
    return WindowResult(window, segments, "en")


def test_joined_segments_lie_at_their_places_in_the_audio():
    word = Word(" b", 1.0, 2.0)
    joined = join(
        [result(0, 30, Segment(0.0, 2.0, " a")), result(28.5, 10, Segment(1.0, 2.0, " b", (word,)))]
    )
    assert [(s.start, s.end, s.text) for s in joined] == [(0.0, 2.0, " a"), (29.5, 30.5, " b")]
    assert joined[1].words[0].start == 29.5


def texts(segments):
    return "".join(s.text for s in segments)


def test_what_two_overlapping_windows_both_wrote_is_kept_once():
    before = [Segment(0, 6, " We have four green chairs."), Segment(6, 10, " The dog sleeps")]
    after = [Segment(6.2, 9, " The dog sleeps in the garden."), Segment(9, 12, " It rains.")]
    kept, added = splice(before, after, 5.0, 10.0)
    assert texts(kept + added) == (
        " We have four green chairs. The dog sleeps in the garden. It rains."
    )


def test_where_the_windows_disagree_the_seam_lies_midway():
    before = [Segment(0, 4, " one two"), Segment(4, 6, " three")]
    after = [Segment(4, 6, " drei"), Segment(6, 9, " four")]
    kept, added = splice(before, after, 4.0, 6.0)
    assert texts(kept + added) in {" one two three four", " one two drei four"}


words = st.lists(
    st.text("abcdefghij", min_size=3, max_size=6), min_size=8, max_size=40, unique=True
)


@settings(max_examples=200)
@given(said=words, data=st.data())
def test_windows_that_wrote_the_same_words_join_without_loss_or_repetition(said, data):
    """Each word lasts a second; two windows overlap by four to eight words."""
    shared = data.draw(st.integers(4, min(8, len(said) - 2)))
    first = data.draw(st.integers(shared, len(said) - 1))
    before = [Segment(i, i + 1, " " + said[i]) for i in range(first)]
    start = first - shared
    grouped = data.draw(st.integers(1, 3))
    after = [
        Segment(i, min(i + grouped, len(said)), "".join(" " + w for w in said[i : i + grouped]))
        for i in range(start, len(said), grouped)
    ]
    kept, added = splice(before, after, float(start), float(first))
    assert texts(kept + added).split() == said
    times = [time for s in kept + added for time in (s.start, s.end)]
    assert times == sorted(times)


@settings(max_examples=100)
@given(data=st.data(), stride=st.sampled_from([None, 0.5, 1.0]))
def test_what_is_given_out_early_is_what_joining_all_at_once_gives(data, stride):
    cutter = Cutter(4.0, stride)
    samples = tone(data.draw(st.integers(1, 20)))
    windows = [*cutter.push(samples), *cutter.finish()]
    results = [WindowResult(w, data.draw(segments_within(w.seconds))) for w in windows]
    joiner = Joiner(2 * (stride or 0.0))
    given = []
    for final in results:
        counts = data.draw(st.lists(st.integers(0, len(final.segments)), max_size=3))
        for count in sorted(counts):  # how much of its text is known before all of it is
            given += joiner.push_early(early(final, count))
        given += joiner.push(final)
        if stride is None:
            assert len(given) == sum(len(r.segments) for r in results[: results.index(final) + 1])
    assert [*given, *joiner.finish()] == join(results)


def early(final, count):
    """What is known of a window's result when `count` segments are."""
    return WindowResult(final.window, final.segments[:count], is_final=False)


def test_segments_whose_words_are_awaited_come_again_with_them():
    final = result(3.0, 4.0, Segment(0.0, 1.0, " a", (Word(" a", 0.2, 0.9),)), Segment(1, 2, " b"))
    bare = WindowResult(final.window, (Segment(0.0, 1.0, " a"),), is_final=False)
    joiner = Joiner(0.0, awaits_words=True)
    assert joiner.push_early(bare) == [Segment(3.0, 4.0, " a", window_start=3.0)]
    assert joiner.push(final) == join([final])


def test_what_is_given_out_stays_though_its_window_is_decoded_anew_with_other_words():
    first = result(3.0, 9.0, Segment(0.0, 2.0, " a"), Segment(2.0, 4.0, " b"))
    anew = result(3.0, 9.0, Segment(0.0, 3.0, " A"), Segment(3.5, 4.0, " B"), Segment(4, 6, " c"))
    for awaits_words in (False, True):
        joiner = Joiner(0.0, awaits_words)
        given = joiner.push_early(early(first, 2))
        assert texts(given) == " a b"
        assert joiner.push_early(early(anew, 1)) == []
        assert texts(joiner.push(anew)) == (" a b c" if awaits_words else " c")
        assert texts(joiner.push(result(12.0, 4.0, Segment(0.0, 1.0, " d")))) == " d"


@st.composite
def segments_within(draw, seconds):
    """A few segments of one to three words, in order, inside a window."""
    times = sorted(draw(st.lists(st.floats(0, seconds), max_size=6)))
    words = st.lists(st.sampled_from(["one", "two", "three"]), min_size=1, max_size=3)
    return tuple(
        Segment(start, end, "".join(f" {word}" for word in draw(words)))
        for start, end in pairwise(times)
    )


def test_a_segment_knows_its_window_and_loses_its_tokens_when_it_is_parted():
    [segment] = join([result(3.0, 4.0, Segment(0.0, 1.0, " a", tokens=(1, 2)))])
    assert (segment.window_start, segment.tokens) == (3.0, (1, 2))
    first = result(0.0, 4.0, Segment(0.0, 4.0, " a b c d", tokens=(1, 2, 3, 4)))
    second = result(2.0, 4.0, Segment(0.0, 4.0, " c d e f", tokens=(3, 4, 5, 6)), overlap=2.0)
    assert [(s.text, s.tokens) for s in join([first, second])] == [(" a b c", ()), (" d e f", ())]


def test_a_segment_that_is_parted_keeps_the_pieces_of_what_stays():
    def spelled(*texts):
        pieces = tuple(TokenLogprob(text.encode(), -float(n)) for n, text in enumerate(texts))
        return Segment(0.0, 4.0, "".join(texts), token_logprobs=pieces)

    first = result(0.0, 4.0, spelled(" å", " b c", " d"))
    second = result(2.0, 4.0, spelled(" c", " ", "d e", " f"), overlap=2.0)
    joined = [
        (s.text, [(p.data.decode(), p.logprob) for p in s.token_logprobs])
        for s in join([first, second])
    ]
    assert joined == [
        (" å b c", [(" å", 0.0), (" b c", -1.0)]),
        (" d e f", [(" ", -1.0), ("d e", -2.0), (" f", -3.0)]),
    ]
