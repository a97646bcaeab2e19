"""Words are agreed on when two hypotheses have them, and are never taken back."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.live.decoding.agreement import Agreement, following
from asr.transcript import Word


def words(text: str, start: float = 0.0) -> list[Word]:
    """Words of one second each."""
    return [Word(f" {each}", start + n, start + n + 1) for n, each in enumerate(text.split())]


def test_one_hypothesis_agrees_with_nothing():
    assert Agreement(0.5).update(words("we travel to"), 10) == []


def test_what_two_hypotheses_begin_with_is_agreed_on():
    agreement = Agreement(0.5)
    agreement.update(words("we travel to Rome"), 10)
    assert agreement.update(words("we travel two rooms"), 10) == words("we travel")
    assert agreement.text == " we travel"
    assert "".join(word.text for word in agreement.rest) == " two rooms"


@pytest.mark.parametrize(("hold_back", "count"), [(0.0, 3), (0.5, 2), (1.0, 2), (1.1, 1)])
def test_words_near_the_end_of_the_audio_are_held_back(hold_back, count):
    agreement = Agreement(hold_back)
    agreement.update(words("we travel to"), 3)
    assert len(agreement.update(words("we travel to"), 3)) == count


@pytest.mark.parametrize(
    ("probabilities", "end", "count"),
    [
        ((0.9, 0.9), 3.6, 3),
        ((0.9, 0.4), 3.6, 2),
        ((0.4, 0.9), 3.6, 2),
        ((0.4, 0.4), 4.6, 3),
    ],
)
def test_unlikely_words_are_held_back_for_longer(probabilities, end, count):
    agreement = Agreement(0.5)
    agreed = []
    for probability in probabilities:
        said = words("we travel to")
        said[-1] = replace(said[-1], probability=probability)
        agreed += agreement.update(said, end)
    assert len(agreed) == count


def test_the_next_hypothesis_is_compared_behind_what_is_agreed_on():
    agreement = Agreement(0.0)
    agreement.update(words("we travel to"), 9)
    agreement.update(words("we travel two"), 9)
    assert agreement.update(words("two weeks", 2), 9) == words("two", 2)
    assert agreement.end == 3


def test_a_hypothesis_that_is_not_trusted_parts_those_beside_it():
    agreement = Agreement(0.0)
    agreement.update(words("we travel"), 9)
    agreement.contradict()
    assert agreement.update(words("we travel"), 9) == []
    assert agreement.update(words("we travel"), 9) == words("we travel")


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=6), max_size=12), st.floats(0, 3))
def test_nothing_is_taken_back_and_every_word_was_in_two_hypotheses(texts, hold_back):
    agreement, place, before = Agreement(hold_back), 0, []
    for text in texts:
        hypothesis = words(" ".join(text), place)
        known = list(agreement.words)
        agreed = agreement.update(hypothesis, place + 4.0)
        assert agreement.words == known + agreed, "words are only added"
        assert agreed == hypothesis[: len(agreed)]
        assert [w.text for w in agreed] == [w.text for w in before[: len(agreed)]]
        assert all(word.end <= place + 4.0 - hold_back for word in agreed)
        assert [*agreed, *agreement.rest] == hypothesis
        place += len(agreed)
        before = agreement.rest


@pytest.mark.parametrize(
    ("known", "rest"),
    [
        ("", "an ill-disposed young man"),
        (" An ill", None),
        (" An ill disposed", "young man"),
        (" An ill-disposed.", "young man"),
        (" an ill-disposed young man", ""),
        (" an ill-disposed young man who", None),
        (" a well-disposed", None),
    ],
)
def test_a_text_goes_on_behind_what_is_known_of_it_by_its_letters(known, rest):
    found = following(words("an ill-disposed young man"), known)
    assert (None if found is None else "".join(word.text for word in found).strip()) == rest
