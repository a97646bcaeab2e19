"""A recording's names are its rare words, and vocabularies have those of others beside them."""

from __future__ import annotations

from pathlib import Path

from benchmark.accuracy.speech_folder import CLIPS, RECORDINGS, Sample
from benchmark.accuracy.vocabulary import NONE, OTHERS, OWN, names_of, plain, vocabularies


def sample(name: str, text: str, trial: str = RECORDINGS) -> Sample:
    return Sample(trial, Path(f"{name}.flac"), 1.0, "es", text)


CLIP_TEXTS = ("Un carpincho.", "Una pacana.", "Un león marino.", "Un león.")
CLIPS_OF_ALL = [sample(str(n), text, CLIPS) for n, text in enumerate(CLIP_TEXTS)]
RECORDED = [sample("00", " ".join(CLIP_TEXTS[:2])), sample("01", " ".join(CLIP_TEXTS[2:]))]


def test_names_are_the_longest_words_that_one_clip_alone_has() -> None:
    names = names_of(RECORDED, CLIPS_OF_ALL)
    assert list(names.values()) == [["carpincho", "pacana"], ["marino"]]


def test_a_vocabulary_has_names_of_other_recordings_that_this_one_has_not() -> None:
    names = names_of(RECORDED, CLIPS_OF_ALL)
    assert vocabularies(RECORDED[0], names)[OWN] == ("carpincho", "marino", "pacana")
    names[RECORDED[1].name] += [f"nombre{n}" for n in range(20)] + ["Pacana"]
    found = vocabularies(RECORDED[0], names)
    assert found[NONE] == ()
    assert len(found[OWN]) == 2 + 6
    assert found[OTHERS] == tuple(f"nombre{n}" for n in range(5, 17))


def test_words_are_compared_without_marks_and_case() -> None:
    assert plain("«L'Inukshuk», d'une grand-mère!") == {
        "l",
        "inukshuk",
        "d",
        "une",
        "grand",
        "mère",
    }
