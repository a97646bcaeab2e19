"""A real model writes several languages, detects them and translates them into English."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.accuracy.contenders import Written
from benchmark.accuracy.speech_folder import CLIPS, RECORDINGS, Sample
from benchmark.accuracy.speech_scores import Pair, of_language, score_speech
from tests.conftest import Server
from tests.real.speech import (
    first_of_each_language,
    phrases,
    post,
    text_of,
    texts_of,
    time_faults,
    verbose,
)

pytestmark = pytest.mark.real

EACH = 2  # So many recordings of each language are transcribed.
# Of these languages, this share of the sentences is written without any error.
FLAWLESS = {"es": 0.5, "fr": 0.2, "ru": 0.2}
MOST_WRONG = 90  # WER in each language, per cent: a text in another language has more.
DETECTED = 0.7  # The language of this share of the recordings is detected.
# Where the left phrase is said in a language, the right one is in the translation.
TRANSLATED = {
    "es": ("la letra", "the letter"),
    "fr": ("la lettre", "the letter"),
    "ru": ("буква", "letter"),
}


@pytest.fixture(scope="module")
def recordings(speech_folder: Path) -> list[Sample]:
    """The first recordings of each language, one language after the other in turn."""
    found = first_of_each_language(speech_folder, RECORDINGS, EACH).values()
    return [samples[turn] for turn in range(EACH) for samples in found if turn < len(samples)]


@pytest.fixture(scope="module")
def written(real_server: Server, recordings: list[Sample]) -> list[Pair]:
    """What was written of each, several at once."""
    texts = texts_of(real_server, recordings)
    return [(sample, Written(text)) for sample, text in zip(recordings, texts, strict=True)]


def test_sentences_are_written_without_an_error(written: list[Pair]) -> None:
    right: dict[str, list[bool]] = {}
    for sample, text in written:
        whole = of_language(sample.language)(text.text)
        found = [phrase in whole for phrase in phrases(sample.text, sample.language)]
        right.setdefault(sample.language, []).extend(found)
    shares = {code: sum(right[code]) / len(right[code]) for code in FLAWLESS if code in right}
    assert {code: share for code, share in shares.items() if share < FLAWLESS[code]} == {}


def test_each_text_is_in_the_language_that_was_spoken(written: list[Pair]) -> None:
    rates = {code: one.errors.rate for code, one in score_speech(written).languages.items()}
    assert {code: rate for code, rate in rates.items() if rate > MOST_WRONG} == {}


def test_the_same_text_is_written_alone_and_among_other_languages(
    real_server: Server, written: list[Pair]
) -> None:
    first = {sample.language: (sample, together) for sample, together in reversed(written)}
    alone = {code: text_of(real_server, sample) for code, (sample, _) in first.items()}
    assert alone == {code: together.text for code, (_, together) in first.items()}


def test_the_language_is_detected(real_server: Server, recordings: list[Sample]) -> None:
    detected = [
        (one.language, json.loads(post(real_server, "/v1/audio/language", one.audio))["language"])
        for one in recordings
    ]
    assert sum(said == found for said, found in detected) >= DETECTED * len(detected), detected


def test_words_of_every_language_are_in_order_and_inside_the_audio(
    real_server: Server, recordings: list[Sample]
) -> None:
    for sample in {one.language: one for one in recordings}.values():
        answer = verbose(real_server, sample.audio, language=sample.language)
        assert time_faults(answer, sample.seconds) == [], sample.name
        assert "".join(s["text"] for s in answer["segments"]).strip() == answer["text"]


def test_translations_are_in_english(real_server: Server, speech_folder: Path) -> None:
    known = {}
    for language, clips in first_of_each_language(speech_folder, CLIPS, 20).items():
        said, expected = TRANSLATED.get(language, ("", ""))
        chosen = [one for one in clips if said and said in one.text.lower()][:4]
        for clip in chosen:
            body = post(real_server, "/v1/audio/translations", clip.audio, language=language)
            known[clip.name] = expected in json.loads(body)["text"].lower()
    if not known:
        pytest.skip("no clip has a phrase whose translation is known")
    assert sum(known.values()) >= len(known) / 2, known
