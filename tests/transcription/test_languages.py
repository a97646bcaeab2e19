"""Languages: named in many ways, and refused where the model does not know them."""

import pytest

from asr.capabilities import EngineInfo
from asr.errors import BadRequest, ConfigError
from asr.transcription.languages import (
    allowed_languages,
    forced_language,
    language_code,
    overruled,
)

INFO = EngineInfo("m", "fake", "none", "none", {"en": "english", "es": "spanish"})


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


def test_allowed_languages_are_codes_each_once():
    assert allowed_languages(["English", "es-419", "en", "auto"], "languages", INFO) == ("en", "es")


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
