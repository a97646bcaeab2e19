"""Words go to speakers by their times; segments are split where the speaker changes."""

import time

from hypothesis import given
from hypothesis import strategies as st

from asr.transcript import Segment, Speaker, SpeakerTurn, TokenLogprob, Transcript, Word
from asr.transcription.speakers import with_speakers

ANN, BOB = Speaker(0), Speaker(1, "Bob")


def turns(*found: tuple[float, float, Speaker]) -> tuple[SpeakerTurn, ...]:
    return tuple(SpeakerTurn(*turn) for turn in found)


def segment(*words: tuple[str, float, float], **fields: object) -> Segment:
    timed = tuple(Word(*word) for word in words)
    text = "".join(word.text for word in timed)
    return Segment(timed[0].start, timed[-1].end, text, timed, **fields)


def said(*segments: Segment, by: tuple[SpeakerTurn, ...]) -> list[tuple[str, str | None]]:
    """Return each part's text and speaker."""
    found = with_speakers(Transcript(segments, "en", 60.0, turns=by))
    assert found.text == "".join(each.text for each in segments)
    return [(part.text, part.speaker and part.speaker.label) for part in found.segments]


def test_a_segment_is_split_where_the_speaker_changes():
    both = segment((" one", 0.0, 0.5), (" two", 0.5, 1.0), (" three,", 1.2, 1.6), (" four", 1.6, 2))
    by = turns((0.0, 1.1, ANN), (1.1, 2.0, BOB))
    assert said(both, by=by) == [(" one two", "SPEAKER_00"), (" three, four", "Bob")]
    first, second = with_speakers(Transcript((both,), "en", 2.0, turns=by)).segments
    assert (first.start, first.end, second.start, second.end) == (0.0, 1.0, 1.2, 2)
    assert [len(part.words) for part in (first, second)] == [2, 2]


def test_a_word_goes_to_the_turn_that_it_overlaps_longest():
    word = segment((" both", 1.0, 2.0))
    assert said(word, by=turns((0.0, 1.4, ANN), (1.4, 3.0, BOB))) == [(" both", "Bob")]
    assert said(word, by=turns((0.0, 1.6, ANN), (1.6, 3.0, BOB))) == [(" both", "SPEAKER_00")]
    within = turns((0.0, 3.0, ANN), (1.2, 1.6, BOB))
    assert said(word, by=within) == [(" both", "SPEAKER_00")]


def test_a_word_without_a_turn_goes_to_the_nearest_or_else_to_the_speaker_before():
    by = turns((0.0, 1.0, ANN), (1.9, 3.0, BOB))
    near = segment((" one", 0.0, 1.0), (" uh", 1.5, 1.8))
    assert said(near, by=by) == [(" one", "SPEAKER_00"), (" uh", "Bob")]
    far = segment((" one", 0.0, 1.0), (" uh", 5.0, 5.8))
    assert said(far, by=turns((0.0, 1.0, ANN), (8.0, 9.0, BOB))) == [(" one uh", "SPEAKER_00")]


def test_text_behind_the_last_turn_is_kept_and_text_before_the_first_has_its_speaker():
    by = turns((10.0, 12.0, BOB), (12.0, 13.0, ANN))
    texts = [segment((" a", 0.0, 1.0)), segment((" b", 11.0, 11.5)), segment((" c", 50.0, 51.0))]
    assert said(*texts, by=by) == [(" a", "Bob"), (" b", "Bob"), (" c", "Bob")]


def test_a_short_word_amid_another_speakers_goes_to_that_speaker():
    by = turns((0.0, 1.0, ANN), (1.0, 1.2, BOB), (1.2, 3.0, ANN))
    short = segment((" a", 0.0, 1.0), (" b", 1.0, 1.2), (" c", 1.2, 2.0))
    assert said(short, by=by) == [(" a b c", "SPEAKER_00")]
    by = turns((0.0, 1.0, ANN), (1.0, 1.4, BOB), (1.4, 3.0, ANN))
    long = segment((" a", 0.0, 1.0), (" b", 1.0, 1.4), (" c", 1.4, 2.0))
    assert [speaker for _, speaker in said(long, by=by)] == ["SPEAKER_00", "Bob", "SPEAKER_00"]


def test_short_words_that_take_turns_do_not_change_places():
    by = turns(*((0.2 * n, 0.2 * n + 0.2, (ANN, BOB)[n % 2]) for n in range(5)))
    words = segment(*((" x", 0.2 * n, 0.2 * n + 0.2) for n in range(5)))
    assert said(words, by=by) == [(" x x x x x", "SPEAKER_00")]


def test_no_word_is_split_that_the_model_wrote_in_pieces():
    by = turns((0.0, 1.0, ANN), (1.0, 2.0, BOB))
    assert said(segment((" twenty", 0.0, 1.0), ("-five", 1.0, 2.0)), by=by) == [
        (" twenty-five", "SPEAKER_00")
    ]
    assert said(segment(("你好", 0.0, 1.0), ("世界", 1.0, 2.0)), by=by) == [
        ("你好", "SPEAKER_00"),
        ("世界", "Bob"),
    ]


def test_words_that_are_not_in_the_text_lose_none_of_it():
    odd = Segment(0.0, 2.0, " one  two,  three ", (Word(" ONE", 0, 1), Word(" two", 1.2, 2)))
    by = turns((0.0, 1.0, ANN), (1.0, 2.0, BOB))
    assert said(odd, by=by) == [(" one", "SPEAKER_00"), ("  two,  three ", "Bob")]


def test_segments_without_times_of_words_are_split_by_their_letters():
    even = Segment(0.0, 4.0, " aaa bbb ccc ddd")
    by = turns((0.0, 2.0, ANN), (2.0, 4.0, BOB))
    assert said(even, by=by) == [(" aaa bbb", "SPEAKER_00"), (" ccc ddd", "Bob")]
    parts = with_speakers(Transcript((even,), "en", 4.0, turns=by)).segments
    assert [part.words for part in parts] == [(), ()]


def test_words_that_nobody_asked_for_are_used_and_not_shown():
    both = segment((" one", 0.0, 1.0), (" two", 1.0, 2.0))
    hidden = Segment(both.start, both.end, both.text, unasked_words=both.words)
    for by in ((), turns((0.0, 2.0, ANN)), turns((0.0, 1.0, ANN), (1.0, 2.0, BOB))):
        found = with_speakers(Transcript((hidden,), "en", 2.0, turns=by)).segments
        assert {(part.words, part.unasked_words) for part in found} == {((), ())}
    assert [part.end for part in found] == [1.0, 2.0]


def test_a_parts_tokens_are_those_of_its_text():
    tokens = tuple(TokenLogprob(data, -0.1) for data in (" né".encode(), b" tw", b"o"))
    both = segment((" né", 0.0, 1.0), (" two", 1.0, 2.0), tokens=(1, 2, 3), token_logprobs=tokens)
    by = turns((0.0, 1.0, ANN), (1.0, 2.0, BOB))
    first, second = with_speakers(Transcript((both,), "en", 2.0, turns=by)).segments
    assert b"".join(token.data for token in first.token_logprobs).decode() == " né"
    assert b"".join(token.data for token in second.token_logprobs).decode() == " two"
    assert (first.tokens, second.tokens) == ((), ())
    [whole] = with_speakers(Transcript((both,), "en", 2.0, turns=turns((0, 2, ANN)))).segments
    assert (whole.tokens, whole.token_logprobs) == (both.tokens, both.token_logprobs)


def test_where_nobody_speaks_no_segment_has_a_speaker():
    text = segment((" hm", 0.0, 1.0))
    assert said(text, by=()) == [(" hm", None)]
    assert with_speakers(Transcript((text,), "en", 1.0)).segments == (text,)
    assert with_speakers(Transcript((), "en", 1.0, turns=())).segments == ()


def test_a_segment_without_text_has_the_speaker_of_its_time():
    by = turns((0.0, 1.0, ANN), (1.0, 2.0, BOB))
    assert said(Segment(1.1, 1.9, ""), Segment(0.0, 0.5, "  "), by=by) == [
        ("", "Bob"),
        ("  ", "SPEAKER_00"),
    ]


TEXTS = st.text(st.sampled_from("ab ,'-é你ก\u00a0"), max_size=12)
SECONDS = st.floats(0.0, 20.0, allow_nan=False)
SPANS = st.tuples(SECONDS, SECONDS).map(sorted)


@given(
    st.lists(st.tuples(TEXTS, st.lists(st.tuples(TEXTS, SPANS), max_size=5), SPANS), max_size=5),
    st.lists(st.tuples(SPANS, st.integers(0, 2)), max_size=6),
)
def test_nothing_is_lost_or_said_twice_whatever_the_words_and_turns(texts, spoken):
    segments = tuple(
        Segment(start, end, text, tuple(Word(word, *times) for word, times in words))
        for text, words, (start, end) in texts
    )
    by = tuple(SpeakerTurn(*times, Speaker(number)) for times, number in sorted(spoken))
    found = with_speakers(Transcript(segments, "en", 20.0, turns=by))
    assert found.text == "".join(each.text for each in segments)
    words = [word for each in segments for word in each.words]
    assert [word for part in found.segments for word in part.words] == words
    assert all((part.speaker is None) == (not by) for part in found.segments)


def test_the_work_grows_with_the_words_and_not_with_their_square():
    """Ten times as many words take less than thirty times as long: a square would be a hundred."""

    def seconds(count: int) -> float:
        words = [segment((" word", 0.4 * n, 0.4 * n + 0.3)) for n in range(count)]
        by = turns(*((2.0 * n, 2.0 * n + 1.9, Speaker(n % 3)) for n in range(count // 5)))
        transcript = Transcript(tuple(words), "en", 0.4 * count, turns=by)
        began = time.process_time()
        with_speakers(transcript)
        return time.process_time() - began

    assert min(seconds(10_000) for _ in range(2)) < 30 * min(seconds(1_000) for _ in range(5))
