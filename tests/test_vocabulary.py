"""Names are read from texts and lists, and what is no name is refused with a reason."""

import pytest

from asr.vocabulary import checked, is_nothing_but, left_out, names_in


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()),
        (" , ;\n", ()),
        ("Ogden,  Iñaki ; New\tYork", ("Ogden", "Iñaki", "New York")),
        ("東京、大阪\uff0c京都", ("東京", "大阪", "京都")),
        ("keel keel\r\nkeel keel", ("keel keel",)),
        (f"Ada {60 * 'and '}Bob", ("Ada", "and", "Bob")),
    ],
)
def test_names_stand_between_commas_semicolons_and_line_breaks(text, names):
    assert names_in(text) == names


def test_a_name_of_a_list_may_have_commas_and_each_is_known_once():
    assert checked(["Gotland, too", "", " keel ", "keel"]) == ("Gotland, too", "keel")


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["a"] * 501, "has 501 names, and may have 500: leave some out"),
        (["Ada", 201 * "b"], "has 201 characters in its 2. name, and a name may have 200"),
        (["A\0da"], "has a control character in its 1. name"),
        (["\ud800"], "has a control character in its 1. name"),
    ],
)
def test_what_is_no_name_is_refused_with_the_limit_and_the_remedy(names, reason):
    with pytest.raises(ValueError, match=reason):
        checked(names)


def test_a_text_of_names_has_a_limit_and_a_word_of_it_too():
    with pytest.raises(ValueError, match="at most 10000 characters: leave names out"):
        names_in(10_001 * "a")
    with pytest.raises(ValueError, match="201 characters"):
        names_in(201 * "a")


def test_a_warning_shows_ten_of_the_names_that_have_no_room():
    assert left_out(()) == ()
    names = [f"n{number}" for number in range(12)]
    [warning] = left_out(names)
    assert warning.endswith("n8, n9 and 2 more: send fewer names")
    assert left_out(names[:10])[0].endswith("n8, n9: send fewer names")


@pytest.mark.parametrize(
    ("text", "is_alone"),
    [
        (" Ogden, ogden; New York.", True),
        (" York Og", True),
        (" Glossary: Ogden.", True),
        (" Ogden said", False),
        (" Ogdens", False),
        (" ...", False),
        ("", False),
    ],
)
def test_a_text_of_nothing_but_names_is_known_by_its_words(text, is_alone):
    assert is_nothing_but(text, ("Ogden", "New York")) == is_alone
    assert not is_nothing_but(text, ())
