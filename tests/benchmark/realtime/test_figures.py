"""Delays count from the sound, and a word that is taken back is counted."""

import pytest

from benchmark.accuracy.corpus import normaliser
from benchmark.realtime.client import ITEM, Played
from benchmark.realtime.figures import Latency, Utterance, single, texts, utterances
from benchmark.realtime.speech import Speech

WORDS = [
    {"word": " We", "start": 1.0, "end": 1.2},
    {"word": " travel.", "start": 1.2, "end": 2.0},
]


def delta(at, text, item="a"):
    return at, {"type": f"{ITEM}.delta", "item_id": item, "delta": text}


def completed(at, text, words=WORDS, item="a"):
    event = {"type": f"{ITEM}.completed", "item_id": item, "transcript": text, "words": words}
    return at, event


def played(*events, said="We travel.", late=(0.0,), failure=None):
    return Played(Speech(None, said, b""), list(events), list(late), failure)


def test_delays_count_from_the_sound_of_the_words():
    [one] = utterances(
        played(delta(1.7, " We"), delta(2.6, " travel."), completed(2.75, " We travel."))
    )
    assert one.first_delay == pytest.approx(0.7)
    assert one.whole_delay == pytest.approx(0.75)
    assert one.word_delays == pytest.approx([0.5, 0.6])
    assert one.taken_back == 0


def test_a_word_in_two_deltas_has_come_with_the_second():
    one = Utterance([(1.7, " We tra"), (2.5, "vel.")], 3.0, " We travel.", WORDS)
    assert one.word_delays == pytest.approx([0.5, 0.5])


def test_a_word_that_occurs_twice_is_the_one_at_its_place():
    words = [{"word": " no", "start": 0.0, "end": 0.5}, {"word": " no", "start": 0.5, "end": 1.0}]
    one = Utterance([(1.0, " no"), (2.0, " no")], 2.0, " no no", words)
    assert one.word_delays == pytest.approx([0.5, 1.0])


@pytest.mark.parametrize(
    ("deltas", "whole", "expected"),
    [
        ([" We", " travel."], " We travel.", 0),
        ([" We", " traveled"], " We travel.", 1),
        ([" They", " travel."], " We travel.", 2),
        ([" We", " travel.", " far"], " We travel.", 1),
        ([], " We travel.", 0),
    ],
)
def test_words_are_taken_back_from_the_first_on_that_changes(deltas, whole, expected):
    assert Utterance([(1.0, text) for text in deltas], 2.0, whole).taken_back == expected


def test_an_utterance_without_text_or_end_has_no_delays():
    assert Utterance(completed=2.0).whole_delay is None
    assert Utterance([(1.0, " We")]).taken_back == 0
    assert Utterance([(1.0, " We")]).first_delay is None


def test_all_sessions_count_together_and_failures_are_told():
    failed = (3.0, {"type": f"{ITEM}.failed", "item_id": "b", "error": {"message": "no memory"}})
    latency = Latency.of(
        [
            played(delta(1.7, " We travel."), completed(2.5, " We travel."), failed),
            played(failure="closed with 1013"),
        ]
    )
    assert latency.whole == pytest.approx([0.5])
    assert latency.failures == ["closed with 1013", "no memory"]
    assert latency.late == [0.0, 0.0]


def test_texts_are_compared_with_each_other_and_with_what_is_said():
    sessions = [
        played(
            completed(2.5, " We travel."), completed(4.0, " Far.", item="b"), said="We travel far."
        )
    ]
    compared = texts(sessions, ["We travelled far."], normaliser("en"))
    assert compared.live.rate == 0.0
    assert compared.differing.replaced == compared.batch.replaced == 1
    printed = single(Latency.of(sessions), compared)
    assert "words that differ from the batch text: 1 of 3 (33.3 %)" in printed
    assert "words wrong: 0.0 % live, 33.3 % batch" in printed
    assert "words taken back: 0 of" in printed
    assert printed.endswith("\n  live   We travel. Far.\n  batch  We travelled far.")
