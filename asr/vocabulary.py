"""Names and rare words that a recording may have, as callers send them: read and checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from asr.text import plain_word

HEADING = "Glossary"  # In the model's prompt the names stand behind this word.
MOST_NAMES = 500  # More names are refused; the prompt has room for some forty of them.
NAME_CHARS = 200  # A longer name is refused: it is a text, which belongs into a prompt.
MOST_CHARS = 10_000  # A longer text of names is refused.
SHOWN_NAMES = 10  # A warning shows so many of the names that it is about.
BETWEEN_NAMES = re.compile("[,;\r\n\u3001\uff0c\uff1b]+")  # In a text these part the names.


def names_in(text: str) -> tuple[str, ...]:
    """The names between the commas, semicolons and line breaks of a text, each once.

    A part that is too long for a name is taken word by word: some send words with spaces alone.

    Raises:
        ValueError: they cannot be used; it names the limit and the remedy.
    """
    if len(text) > MOST_CHARS:
        raise ValueError(f"must have at most {MOST_CHARS} characters: leave names out")
    parts = [part.strip() for part in BETWEEN_NAMES.split(text)]
    return checked([name for part in parts for name in _without_sentences(part)])


def checked(names: Sequence[str]) -> tuple[str, ...]:
    """The names with single spaces, each once; empty ones are left out.

    Raises:
        ValueError: they cannot be used; it names the limit and the remedy.
    """
    if len(names) > MOST_NAMES:
        raise ValueError(f"has {len(names)} names, and may have {MOST_NAMES}: leave some out")
    known = dict.fromkeys(map(_checked, names, range(1, len(names) + 1)))
    known.pop("", None)
    return tuple(known)


def is_nothing_but(text: str, names: Iterable[str]) -> bool:
    """Whether all words of a text are words of the names or the heading, or begin like them."""
    known = {plain_word(word) for name in names for word in name.split()}
    if not known:
        return False
    known.add(plain_word(HEADING))
    said = {plain_word(word) for word in text.split()} - {""}
    return bool(said) and all(any(each.startswith(word) for each in known) for word in said)


def left_out(names: Iterable[str]) -> tuple[str, ...]:
    """The warning about names that the model's prompt has no room for, where there are any."""
    names = tuple(names)
    if not names:
        return ()
    shown, more = ", ".join(names[:SHOWN_NAMES]), len(names) - SHOWN_NAMES
    rest = f" and {more} more" if more > 0 else ""
    return (f"the model's prompt has no room for these names: {shown}{rest}: send fewer names",)


def _without_sentences(part: str) -> list[str]:
    return [part] if len(part) <= NAME_CHARS else part.split()


def _checked(name: str, number: int) -> str:
    if len(name) > NAME_CHARS:
        raise ValueError(
            f"has {len(name)} characters in its {number}. name, and a name may have {NAME_CHARS}: "
            "send names and single words; a text in the style of the audio is a prompt"
        )
    plain = " ".join(name.split())
    if not plain.isprintable():
        raise ValueError(
            f"has a control character in its {number}. name: send letters, digits and signs alone"
        )
    return plain
