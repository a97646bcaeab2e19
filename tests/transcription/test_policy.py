"""What a request may ask: languages by any name, options that the model and the server allow."""

import pytest

from asr.capabilities import EngineInfo
from asr.errors import BadRequest
from asr.options import Options, Thresholds
from asr.transcription.policy import RequestPolicy, check

INFO = EngineInfo(
    "m", "fake", "none", "none", {"en": "english", "es": "spanish"}, can_translate=False
)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (Options(language="klingon"), "en, es"),
        (Options(task="translate"), "cannot translate"),
        (Options(prompt="Hi"), "takes no prompt"),
        (Options(condition_on_previous_text=True), "leave 'condition_on_previous_text' out"),
        (Options(timestamps="word"), "word timestamps"),
    ],
)
def test_what_the_model_cannot_do_is_refused_by_name(options, named):
    with pytest.raises(BadRequest, match=named):
        check(options, INFO)


def test_a_model_without_languages_refuses_a_language():
    with pytest.raises(BadRequest, match="leave 'language' out"):
        check(Options(language="en"), EngineInfo("ctc", "pipeline", "none", "none"))


@pytest.mark.parametrize(
    ("rule", "asked", "done"),
    [
        ("auto", "none", "none"),
        ("auto", "word", "word"),
        ("none", "segment", "none"),
        ("segments", "none", "segment"),
        ("segments", "word", "word"),
    ],
)
def test_the_server_may_rule_over_timestamps(rule, asked, done):
    assert RequestPolicy(timestamps=rule).apply(Options(timestamps=asked)).timestamps == done


def test_what_a_request_says_of_thresholds_goes_before_what_the_server_says():
    rules = RequestPolicy(thresholds=Thresholds(-1.0, 2.4, 0.6))
    asked = Options(thresholds=Thresholds(avg_logprob=-0.3))
    assert rules.apply(Options()).thresholds == Thresholds(-1.0, 2.4, 0.6)
    assert rules.apply(asked).thresholds == Thresholds(-0.3, 2.4, 0.6)


@pytest.mark.parametrize(
    ("rule", "asked", "done"),
    [(False, None, False), (True, None, True), (True, False, False), (False, True, True)],
)
def test_the_text_before_is_the_prompt_where_the_request_or_else_the_server_says_so(
    rule, asked, done
):
    policy = RequestPolicy(condition_on_previous_text=rule)
    options = Options(condition_on_previous_text=asked)
    assert policy.apply(options).condition_on_previous_text is done


def test_words_are_refused_where_the_server_times_nothing():
    with pytest.raises(BadRequest, match="TIMESTAMPS=none"):
        RequestPolicy(timestamps="none").apply(Options(timestamps="word"))
