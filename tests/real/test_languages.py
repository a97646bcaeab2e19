"""A real model writes several languages, detects them and translates them into English."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmark.accuracy import speech_folder as folders
from benchmark.accuracy.contenders import Written
from benchmark.accuracy.speech_folder import RECORDINGS, Sample
from benchmark.accuracy.speech_scores import Pair, of_language, score_speech
from tests.conftest import Server
from tests.real.speech import phrases, post, text_of, time_faults, verbose

pytestmark = pytest.mark.real

# Of these languages, this share of the sentences is written without any error.
FLAWLESS = {"es": 0.5, "fr": 0.2, "ru": 0.2}
MOST_WRONG = 75  # WER in the mean of the languages, per cent: of texts in another one it is 100.
DETECTED = 0.7  # The language of this share of the recordings is detected.
ALONE = 3  # So many recordings are sent once more, alone.
# English has these words often, and the languages that are translated have none of them.
ENGLISH = frozenset({"the", "of", "in", "is", "and", "with", "from", "to", "for"})
ENGLISH_SHARE = 0.08  # At least this share of a translation's words are among them.
# Where the left word is said, the right one is in the translation, mostly.
TRANSLATED = {
    "americano": "american",
    "manzana": "apple",
    "américain": "american",
    "планета": "planet",
}


@pytest.fixture(scope="module")
def recordings(speech_folder: Path) -> list[Sample]:
    """The first recording of each language."""
    return folders.read(speech_folder, [RECORDINGS], most=1)


@pytest.fixture(scope="module")
def answers(real_server: Server, recordings: list[Sample]) -> list[dict[str, Any]]:
    """The verbose_json of each, with its words; all are sent at once."""
    with ThreadPoolExecutor(len(recordings)) as pool:
        return list(
            pool.map(
                lambda sample: verbose(real_server, sample.audio, language=sample.language),
                recordings,
            )
        )


@pytest.fixture(scope="module")
def written(recordings: list[Sample], answers: list[dict[str, Any]]) -> list[Pair]:
    texts = [Written(answer["text"]) for answer in answers]
    return list(zip(recordings, texts, strict=True))


def test_sentences_are_written_without_an_error(written: list[Pair]) -> None:
    right: dict[str, list[bool]] = {}
    for sample, text in written:
        whole = of_language(sample.language)(text.text)
        found = [phrase in whole for phrase in phrases(sample.text, sample.language)]
        right.setdefault(sample.language, []).extend(found)
    shares = {code: sum(right[code]) / len(right[code]) for code in FLAWLESS if right.get(code)}
    assert {code: share for code, share in shares.items() if share < FLAWLESS[code]} == {}


def test_the_texts_are_in_the_languages_that_were_spoken(written: list[Pair]) -> None:
    score = score_speech(written)
    rates = {code: one.errors.rate for code, one in score.languages.items()}
    assert score.mean_wer <= MOST_WRONG, rates


def test_the_same_text_is_written_alone_and_among_other_languages(
    real_server: Server, written: list[Pair]
) -> None:
    together = {sample.name: one.text for sample, one in written[:ALONE]}
    assert {s.name: text_of(real_server, s) for s, _ in written[:ALONE]} == together


def test_the_language_is_detected(real_server: Server, recordings: list[Sample]) -> None:
    detected = [
        (one.language, json.loads(post(real_server, "/v1/audio/language", one.audio))["language"])
        for one in recordings
    ]
    assert sum(said == found for said, found in detected) >= DETECTED * len(detected), detected


def test_words_of_every_language_are_in_order_and_inside_the_audio(
    recordings: list[Sample], answers: list[dict[str, Any]]
) -> None:
    for sample, answer in zip(recordings, answers, strict=True):
        assert time_faults(answer, sample.seconds) == [], sample.name
        assert "".join(s["text"] for s in answer["segments"]).strip() == answer["text"]


def test_translations_are_in_english(real_server: Server, recordings: list[Sample]) -> None:
    chosen = [one for one in recordings if one.language in FLAWLESS]
    if not chosen:
        pytest.skip(f"SPEECH_FOLDER has none of {', '.join(FLAWLESS)}")
    known = {}
    for sample in chosen:
        body = post(real_server, "/v1/audio/translations", sample.audio, language=sample.language)
        words = of_language("en")(json.loads(body)["text"]).split()
        assert sum(one in ENGLISH for one in words) >= ENGLISH_SHARE * len(words), words
        said = of_language(sample.language)(sample.text).split()
        known.update({word: TRANSLATED[word] in words for word in said if word in TRANSLATED})
    assert sum(known.values()) >= len(known) / 2, known
