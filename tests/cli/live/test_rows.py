"""Text is broken into rows as a terminal shows them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.cli.live.rows import cleaned, width, wrapped


def rows(text, columns):
    return [text[row.start : row.end] for row in wrapped(text, columns)]


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("", 5, [""]),
        ("one two six", 7, ["one two", "six"]),
        ("one two six", 8, ["one two", "six"]),
        ("one two", 20, ["one two"]),
        ("antidisestablish", 5, ["antid", "isest", "ablis", "h"]),
        ("a antidis", 5, ["a", "antid", "is"]),
        ("日本語です", 5, ["日本", "語で", "す"]),  # a wide letter takes two columns
        ("ab日本", 4, ["ab日", "本"]),
        ("日本ab", 5, ["日本", "ab"]),
        ("日", 1, ["日"]),
        ("\u0301日\u0301a", 2, ["\u0301日\u0301", "a"]),  # an accent takes no column
    ],
)
def test_text_is_broken_at_spaces_and_beside_wide_letters(text, columns, expected):
    assert rows(text, columns) == expected


@given(st.text("ab 日本\u0301", max_size=40), st.integers(2, 12))
def test_no_letter_is_lost_and_no_row_is_too_wide(text, columns):
    found = rows(text, columns)
    assert "".join(found).replace(" ", "") == text.replace(" ", "")
    assert all(width(row) <= columns for row in found)


@given(st.text("ab 日", max_size=30), st.text("ab 日", max_size=20), st.integers(2, 10))
def test_a_row_that_is_settled_stays_whatever_follows(text, more, columns):
    before = [row for row in wrapped(text, columns) if row.settled is not None]
    assert wrapped(text + more, columns)[: len(before)] == before
    assert all(row.settled <= len(text) for row in before)


def test_accents_and_parts_of_hangul_take_no_column():
    assert width("e\u0301") == 1
    assert width("\u1112\u1161\u11ab") == 2


def test_what_commands_a_terminal_is_no_text():
    assert cleaned("a\x1b[2Jb\r\nc\u2028\ud800") == "a [2Jb  c  "
    persian = "\u0646\u0645\u06cc\u200c\u062e"  # needs its joiner
    assert cleaned(persian) == persian
