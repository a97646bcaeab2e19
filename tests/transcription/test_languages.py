"""Languages: named in many ways, and refused where the model does not know them."""

import tracemalloc

import pytest
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from asr.capabilities import EngineInfo
from asr.errors import BadRequest, ConfigError
from asr.transcription.languages import (
    allowed_languages,
    forced_language,
    language_code,
    overruled,
)

INFO = EngineInfo("m", "fake", "none", "none", {"en": "english", "es": "spanish"})
WHISPER = EngineInfo("w", "fake", "none", "none", dict(LANGUAGES))
NO_CANTONESE = EngineInfo("w", "fake", "none", "none", {"en": "english", "zh": "chinese"})
ENGLISH = EngineInfo("w.en", "fake", "none", "none", {"en": "english"})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, None),
        ("", None),
        ("None", None),
        ("auto", None),
        ("en", "en"),
        ("EN", "en"),
        ("English", "en"),
        ("es-419", "es"),
        ("es_MX", "es"),
        ("klingon", "klingon"),
    ],
)
def test_a_language_may_be_a_code_a_name_or_a_tag(text, code):
    assert language_code(text, INFO) == code


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        ("eng en-US en_GB English ENG eng-Latn", "en"),
        ("deu ger de-AT gsw", "de"),
        ("spa es-419 castilian", "es"),
        ("fra fre fr-CA", "fr"),
        ("nb nob no nor nb-NO no-NO", "no"),
        ("nn nno nn-NO no-nyn", "nn"),
        ("fil tl tgl fil-PH filipino", "tl"),
        ("iw he heb iw-IL", "he"),
        ("cmn zh zho chi zh-Hans zh_TW zh-HK cmn-Hans-CN cmn_hans_cn mandarin wuu nan", "zh"),
        ("yue zh-yue yue-Hant-HK yue_hant_hk Cantonese", "yue"),
        ("pt-BR por pt_PT", "pt"),
        ("jw jv jav jv-ID", "jw"),
        ("in id ind", "id"),
        ("ar ara arb arz apc ar-EG", "ar"),
        ("fa fas per pes prs fa-AF farsi", "fa"),
        ("sw swa swh sw-KE", "sw"),
        ("sr srp hbs sh sr-Latn", "sr"),
        ("ms msa may zsm", "ms"),
        ("ro ron rum mo", "ro"),
        ("haw", "haw"),
        ("cs ces cze", "cs"),
    ],
)
def test_every_standard_code_is_the_language_that_whisper_knows(texts, code):
    assert {text: language_code(text, WHISPER) for text in texts.split()} == dict.fromkeys(
        texts.split(), code
    )


def test_a_language_is_its_group_where_the_model_does_not_know_it_alone():
    assert language_code("yue", NO_CANTONESE) == "zh"
    assert language_code("yue-Hant-HK", NO_CANTONESE) == "zh"


@pytest.mark.parametrize(
    "text",
    ["ga", "gle", "co", "ku", "tlh", "kl", "xx", "zxx", "x-klingon", "-", "_", "e n", "englisch"],
)
def test_no_other_language_is_taken_for_one_that_the_model_does_not_know(text):
    assert language_code(text, WHISPER) == text
    with pytest.raises(BadRequest, match=r"does not know the language .*; it knows af, am, ar"):
        allowed_languages([text], "language", WHISPER)


def test_a_model_that_knows_english_alone_takes_every_name_of_it_and_no_other_language():
    assert [language_code(text, ENGLISH) for text in ("eng", "en-GB", "English")] == ["en"] * 3
    for text in ("nb", "pcm", "fr"):
        with pytest.raises(
            BadRequest, match=rf"w.en does not know the language '{text}'; it knows"
        ):
            allowed_languages([text], "language", ENGLISH)


def test_a_language_that_is_undetermined_is_detected():
    assert language_code("und", WHISPER) is None


def test_no_word_that_a_caller_sends_is_kept():
    long = "e" * 100_000
    assert language_code(long, WHISPER) == long
    language_code("warm", WHISPER)
    tracemalloc.start()
    for number in range(2_000):
        language_code(f"en-x-{number}", WHISPER)
        language_code(f"q{number}", WHISPER)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 10_000


def test_a_forced_language_may_have_any_of_its_codes():
    assert forced_language("spa", INFO) == "es"
    assert overruled("es", "spa", ["cat", "es-MX"], INFO) == []


def test_allowed_languages_are_codes_each_once():
    asked = ["English", "es-419", "en", "eng", "auto"]
    assert allowed_languages(asked, "languages", INFO) == ("en", "es")


def test_a_language_that_the_model_does_not_know_is_refused_with_those_it_knows():
    with pytest.raises(BadRequest, match=r"'klingon'; it knows en, es") as refused:
        allowed_languages(["en", "Klingon"], "languages[]", INFO)
    assert refused.value.param == "languages[]"
    with pytest.raises(
        ConfigError,
        match="LANGUAGE_FORCE='Klingon': the model m does not know this language; it knows en, es",
    ):
        forced_language("Klingon", INFO)


def test_fields_that_ask_for_another_language_than_the_forced_one_are_overruled():
    assert overruled(None, "en", ["en"], INFO) == []
    assert overruled("es", "en", ["en"], INFO) == ["language", "languages"]
    assert overruled("es", "Spanish", ["en", "es"], INFO) == []
