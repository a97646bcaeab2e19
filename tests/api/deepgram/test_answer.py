"""A transcript as Deepgram's answer: words, sentences, paragraphs, utterances, confidence."""

from __future__ import annotations

from typing import Any

import pytest

from asr.api.deepgram.answer import MOST_SENTENCES, answer
from asr.api.deepgram.schemas import AnswerDetails, ListenAnswer
from asr.transcript import Segment, Speaker, Transcript, Word

PLAN = AnswerDetails(
    created=0.0, model_id="m", engine="e", has_paragraphs=True, has_utterances=True, utt_split=1.0
)


def told(*segments: Segment) -> dict[str, Any]:
    """Return the results of these segments, checked against what the document says."""
    found = answer(Transcript(segments, "en", 60.0), PLAN, "id")
    ListenAnswer.model_validate(found, extra="forbid")
    results: dict[str, Any] = found["results"]
    return results


def said(text: str, start: float = 0.0, speaker: int | None = None) -> Segment:
    """Return a segment with a word for each second, half of which it takes."""
    words = tuple(
        Word(f" {word}", start + n, start + n + 0.5, 0.5) for n, word in enumerate(text.split())
    )
    who = None if speaker is None else Speaker(speaker)
    return Segment(start, words[-1].end, f" {text}", words, speaker=who)


def sentences_of(results: dict[str, Any]) -> list[list[str]]:
    [alternative] = results["channels"][0]["alternatives"]
    paragraphs = alternative["paragraphs"]["paragraphs"]
    return [[sentence["text"] for sentence in each["sentences"]] for each in paragraphs]


@pytest.mark.parametrize(
    ("written", "plain"),
    [("Lima.", "lima"), ("\"It's", "it's"), ("4.5%", "4.5"), ("—", "—"), ("¡Sí!", "sí")],
)
def test_a_word_is_there_with_and_without_its_punctuation(written: str, plain: str) -> None:
    [alternative] = told(said(written))["channels"][0]["alternatives"]
    [word] = alternative["words"]
    assert (word["punctuated_word"], word["word"]) == (written, plain)


def test_a_paragraph_ends_with_its_speaker_at_a_pause_and_when_it_is_long() -> None:
    short = "Yes. " * (MOST_SENTENCES + 1)
    assert sentences_of(told(said(short.strip()))) == [["Yes."] * MOST_SENTENCES, ["Yes."]]
    paused = told(said("One day. It was"), said("late.", 10.0))
    assert sentences_of(paused) == [["One day.", "It was late."]]
    paused = told(said("One day."), said("It was late.", 10.0))
    assert sentences_of(paused) == [["One day."], ["It was late."]]
    spoken = told(said("and so", speaker=0), said("No!", 2.0, speaker=1))
    assert sentences_of(spoken) == [["and so"], ["No!"]]


def test_numbers_of_words_and_times_are_those_of_their_words() -> None:
    [alternative] = told(said("One day. It was late."))["channels"][0]["alternatives"]
    [paragraph] = alternative["paragraphs"]["paragraphs"]
    assert (paragraph["num_words"], paragraph["start"], paragraph["end"]) == (5, 0.0, 4.5)
    times = [(each["start"], each["end"]) for each in paragraph["sentences"]]
    assert times == [(0.0, 1.5), (2.0, 4.5)]
    assert alternative["paragraphs"]["transcript"] == "\nOne day. It was late."


def test_an_utterance_ends_at_a_pause_and_with_its_speaker() -> None:
    results = told(said("a b", speaker=0), said("c", 2.0, speaker=1), said("d", 3.5, speaker=1))
    found = [(each["transcript"], each["speaker"]) for each in results["utterances"]]
    assert found == [("a b", 0), ("c", 1), ("d", 1)]
    assert len({each["id"] for each in results["utterances"]}) == 3
    again = told(said("a b", speaker=0), said("c", 2.0, speaker=1), said("d", 3.5, speaker=1))
    assert again == results, "a callback that is told twice is told the same"


def test_confidence_is_the_words_own_or_their_segments() -> None:
    results = told(said("a b"), Segment(2.0, 3.0, " c", avg_logprob=0.0), Segment(3.0, 4.0, " d"))
    [alternative] = results["channels"][0]["alternatives"]
    assert [word["confidence"] for word in alternative["words"]] == [0.5, 0.5, 1.0, 0.0]
    assert alternative["confidence"] == 0.5


def test_words_join_to_the_transcript_where_the_script_has_no_spaces() -> None:
    words = (Word("東", 0.0, 0.5), Word("京。", 0.5, 1.0), Word("雨", 1.0, 1.5))
    results = told(Segment(0.0, 1.5, "東京。雨", words))
    assert results["channels"][0]["alternatives"][0]["transcript"] == "東京。雨"
    assert sentences_of(results) == [["東京。", "雨"]]
