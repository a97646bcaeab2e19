"""Breaks text into rows of a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

NO_WIDTH = {"Mn", "Me", "Cf"}  # Characters of these categories take no column of their own.
NO_TEXT = {"Cc", "Cs", "Zl", "Zp"}  # Characters of these categories would move the cursor.
JAMO = range(0x1160, 0x1200)  # Vowels and finals of Hangul join the letter before them.


@dataclass(frozen=True)
class Row:
    """A row: a part of the text, and what must be known for it to be final."""

    start: int
    end: int  # without the space at which it is broken
    settled: int | None  # so many characters of the text decide where it ends; None: the text's end


def wrapped(text: str, columns: int) -> Sequence[Row]:
    """Break `text` at spaces and beside wide letters into rows of at most so many columns.

    A word that is longer is broken anywhere, and a letter that is wider has a row of its own.
    """
    rows, start, turn, used = [], 0, 0, 0  # a row may end before `turn`
    before = 0  # the columns of the last letter that took any
    for place, letter in enumerate(text):
        size = width(letter)
        if size == 2 or (size and before == 2):
            turn = place
        before = size or before
        if used + size > columns and place > start:
            cut = turn if turn > start else place
            if letter == " ":
                cut = place + 1
            rows.append(Row(start, _end(text, start, cut), place + 1))
            start, used = cut, width(text[cut:place])
            if letter == " ":
                turn = start
                continue
        used += size
        if letter == " ":
            turn = place + 1
    rows.append(Row(start, len(text), None))
    return rows


def width(text: str) -> int:
    """The columns that `text` takes in a terminal."""
    return sum(map(_columns, text))


def cleaned(text: str) -> str:
    """`text` with spaces in the place of what would move the cursor or command the terminal."""
    return "".join(" " if unicodedata.category(one) in NO_TEXT else one for one in text)


def _columns(letter: str) -> int:
    if unicodedata.category(letter) in NO_WIDTH or ord(letter) in JAMO:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _end(text: str, start: int, cut: int) -> int:
    return start + len(text[start:cut].rstrip(" "))
