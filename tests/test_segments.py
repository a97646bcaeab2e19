"""Short segments become sentences, and nothing is lost on the way."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.segments import LONGEST_PAUSE, merged, merged_parts
from asr.transcript import Segment, Speaker, TokenLogprob, Transcript, Word

ADA, BOB = Speaker(0), Speaker(1)


def said(start: float, end: float, text: str, **how: Any) -> Segment:
    return Segment(start, end, text, **how)


def texts(segments: Sequence[Segment]) -> list[str]:
    return [segment.text for segment in segments]


@pytest.mark.parametrize(
    ("words", "sentences"),
    [
        ([" It", " is", " so.", " Is it?", " No"], [" It is so.", " Is it?", " No"]),
        ([" He said:", ' "Go!"', " And", " went…"], [' He said: "Go!"', " And went…"]),
        (["今日は", "晴れ。", "明日も"], ["今日は晴れ。", "明日も"]),
        ([" यह", " है।", " और"], [" यह है।", " और"]),
        (["", " a", " ", " b."], [" a  b."]),
    ],
)
def test_a_sentence_ends_with_its_punctuation(words: list[str], sentences: list[str]) -> None:
    segments = [said(n, n + 1, word) for n, word in enumerate(words)]
    assert texts(merged(segments, 30.0)) == sentences


def test_a_sentence_ends_before_it_would_be_too_long() -> None:
    segments = [said(n, n + 1, f" {n}") for n in range(5)]
    assert texts(merged(segments, 2.0)) == [" 0 1", " 2 3", " 4"]
    long = [said(0, 9, " long"), said(9, 10, " a"), said(10, 11, " b")]
    assert texts(merged(long, 2.0)) == [" long", " a b"]


@pytest.mark.parametrize(
    ("second", "is_one"),
    [
        (said(1 + LONGEST_PAUSE, 4, " b"), True),
        (said(1.1 + LONGEST_PAUSE, 4, " b"), False),
        (said(1, 2, " b", speaker=BOB), False),
        (said(1, 2, " b", speaker=None), False),
    ],
)
def test_a_pause_and_another_speaker_end_a_sentence(second: Segment, is_one: bool) -> None:
    first = said(0, 1, " a", speaker=ADA)
    if is_one:
        second = replace(second, speaker=ADA)
    assert len(merged([first, second], 30.0)) == (1 if is_one else 2)


def test_probabilities_are_the_means_by_tokens_or_the_worst() -> None:
    first = said(
        1.0, 2.0, " a", tokens=(1,), avg_logprob=-0.2, own_logprob=-0.1, no_speech_prob=0.1,
        temperature=0.0, window_start=1.0, words=(Word(" a", 1.0, 2.0, 0.5),),
        token_logprobs=(TokenLogprob(b" a", -0.1),),
    )  # fmt: skip
    second = said(
        2.0, 3.0, " b c.", tokens=(2, 3, 4), avg_logprob=-0.6, own_logprob=-0.5,
        no_speech_prob=0.3, temperature=0.4, window_start=2.0,
        token_logprobs=(TokenLogprob(b" b c.", -0.5),),
    )  # fmt: skip
    [whole] = merged([first, second], 30.0)
    assert (whole.start, whole.end, whole.window_start) == (1.0, 3.0, 1.0)
    assert whole.tokens == (1, 2, 3, 4)
    assert whole.avg_logprob == pytest.approx(-0.5)
    assert whole.own_logprob == pytest.approx(-0.4)
    assert (whole.no_speech_prob, whole.temperature) == (0.3, 0.4)
    assert texts(whole.words) == [" a", " b", " c."]  # type: ignore[arg-type]
    assert b"".join(token.data for token in whole.token_logprobs) == whole.text.encode()


def test_what_is_not_known_stays_unknown() -> None:
    [whole] = merged([said(0, 1, " a"), said(1, 2, " b")], 30.0)
    assert whole == said(0, 2, " a b")


pieces = st.lists(
    st.tuples(
        st.integers(0, 30),  # tenths of a second of pause
        st.integers(0, 90),  # tenths of a second
        st.sampled_from([" a", " so.", " why?", "", " 3 b", "。"]),
        st.sampled_from([None, ADA, BOB]),
        st.booleans(),  # whether its words are timed
    ),
    max_size=30,
)


def recording(found: list[tuple[int, int, str, Speaker | None, bool]]) -> list[Segment]:
    segments, time = [], 0
    for pause, length, text, speaker, is_timed in found:
        start, time = time + pause, time + pause + length
        segment = said(start / 10, time / 10, text, speaker=speaker)
        words = segment.timed_words if is_timed else ()
        segments.append(replace(segment, words=words))
    return segments


@settings(max_examples=200, deadline=None)
@given(found=pieces, longest=st.integers(1, 30))
def test_no_word_is_lost_and_times_keep_their_order(found: Any, longest: int) -> None:
    segments = recording(found)
    sentences = merged(segments, longest)
    assert "".join(texts(sentences)) == "".join(texts(segments))
    for before, after in pairwise(sentences):
        assert before.start <= before.end <= after.start
    starts = {segment.start for segment in segments}
    alone = {(segment.start, segment.end) for segment in segments}
    for each in sentences:
        assert each.start in starts
        assert each.end - each.start <= longest + 1e-9 or (each.start, each.end) in alone
        inside = [s for s in segments if each.start <= s.start and s.end <= each.end and s.text]
        assert {s.speaker for s in inside if s.start < s.end} <= {each.speaker}
        if each.words:
            assert "".join(word.text for word in each.words).split() == each.text.split()


@settings(max_examples=50, deadline=None)
@given(found=pieces, cuts=st.lists(st.integers(0, 30), max_size=4))
def test_a_stream_has_the_sentences_of_the_whole(found: Any, cuts: list[int]) -> None:
    segments = recording(found)
    places = [0, *sorted(min(cut, len(segments)) for cut in cuts), len(segments)]
    parts = [Transcript(tuple(segments[a:b]), "en", 1.0) for a, b in pairwise(places)]
    parts[-1] = replace(parts[-1], duration=9.0, warnings=("w",))

    async def coming() -> AsyncGenerator[Transcript]:
        for part in parts:
            yield replace(part, ahead=part.segments)

    async def whole() -> list[Transcript]:
        return [part async for part in merged_parts(coming(), 5.0)]

    stream = whole()
    with pytest.raises(StopIteration) as ended:
        stream.send(None)
    sent = ended.value.value
    assert tuple(s for part in sent for s in part.segments) == merged(segments, 5.0)
    assert not any(part.ahead for part in sent)
    assert (sent[-1].duration, sent[-1].warnings) == (9.0, ("w",))
