"""An utterance of some words is in a language of the session, unless another is far likelier."""

from asr.live.decoding.languages import SessionLanguages
from asr.transcript import LanguageDetection


def detected(**probabilities: float) -> LanguageDetection:
    return LanguageDetection(max(probabilities, key=probabilities.__getitem__), probabilities)


def spanish() -> SessionLanguages:
    languages = SessionLanguages()
    languages.add("es", 5.0)
    return languages


def test_the_first_utterance_is_in_the_language_that_is_detected():
    detection = detected(es=0.4, pt=0.35)
    assert SessionLanguages().judge(detection) is detection


def test_a_neighbour_of_the_language_so_far_is_that_language():
    judged = spanish().judge(detected(pt=0.6, es=0.3))
    assert judged.language == "es"
    assert judged.is_sure


def test_another_language_that_is_far_likelier_is_another_language():
    assert spanish().judge(detected(en=0.98, es=0.01)).language == "en"


def test_a_language_that_is_spoken_now_soon_counts_for_more_than_older_ones():
    languages = spanish()
    for _ in range(8):
        languages.add("en", 5.0)
    assert languages.judge(detected(es=0.6, en=0.4)).language == "en"


def test_a_model_without_probabilities_says_the_language_itself():
    assert spanish().judge(LanguageDetection("en")).language == "en"
