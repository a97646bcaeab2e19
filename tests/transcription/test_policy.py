"""What a request may ask: languages by any name, options that the model and the server allow."""

from dataclasses import replace

import pytest

from asr.capabilities import EngineInfo
from asr.errors import BadRequest
from asr.options import Options, SpeakerOptions, Thresholds
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
        (
            Options(vocabulary=("Hi",)),
            "takes no names to be known: leave 'hotwords' and 'keywords' out",
        ),
        (Options(prefix=""), "leave 'prefix' out"),
        (Options(condition_on_previous_text=True), "leave 'condition_on_previous_text' out"),
        (Options(timestamps="word"), "word timestamps"),
        (Options(speakers=SpeakerOptions()), "DIARIZER=off"),
    ],
)
def test_what_the_model_cannot_do_is_refused_by_name(options, named):
    with pytest.raises(BadRequest, match=named):
        check(options, INFO, has_diarizer=False)


def test_a_model_without_languages_refuses_a_language():
    with pytest.raises(BadRequest, match="leave 'language' out"):
        check(Options(language="en"), EngineInfo("ctc", "pipeline", "none", "none"), True)


@pytest.mark.parametrize(
    ("speakers", "named"),
    [
        (SpeakerOptions(least=3, most=2), "min_speakers=3 is more than max_speakers=2"),
        (SpeakerOptions(count=1, least=2), "num_speakers=1"),
        (SpeakerOptions(count=3, most=2), "num_speakers=3"),
    ],
)
def test_numbers_of_speakers_that_exclude_each_other_are_refused(speakers, named):
    with pytest.raises(BadRequest, match=named):
        check(Options(speakers=speakers), INFO, has_diarizer=True)
    check(Options(speakers=SpeakerOptions(2, 1, 3)), INFO, has_diarizer=True)


@pytest.mark.parametrize(
    ("has_words", "rule", "asked", "done"),
    [
        (True, "auto", "segment", "word"),
        (True, "none", "none", "word"),
        (False, "auto", "none", "segment"),
        (False, "segments", "segment", "segment"),
        (False, "none", "none", "none"),
    ],
)
def test_who_asks_who_speaks_has_words_timed_as_well_as_the_model_can(has_words, rule, asked, done):
    info, policy = replace(INFO, has_words=has_words), RequestPolicy(timestamps=rule)
    options = Options(timestamps=asked, speakers=SpeakerOptions())
    assert policy.timed(options, info).timestamps == done
    assert policy.timed(Options(timestamps=asked), info).timestamps == asked


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
