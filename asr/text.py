"""Tells text from bytes; splits, counts, compares and quotes words; measures repetition."""

from __future__ import annotations

import codecs
import re
import unicodedata
import zlib

WORDS_OF_A_WIDE_LETTER = 0.5  # Two Chinese or Japanese letters count as one word.

PRINTED = re.compile(r"[^\x00-\x08\x0e-\x1f\x7f]*")


def is_text(head: bytes) -> bool:
    """Whether the first bytes of something are UTF-8 without control characters."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return PRINTED.fullmatch(text) is not None


def compression_ratio(text: str) -> float:
    """Measure how far zlib shortens `text`, as openai/whisper does; 1 for no text."""
    data = text.encode()
    return round(len(data) / len(zlib.compress(data)), 4) if data else 1.0


def split_words(text: str) -> list[str]:
    """Split `text` into words, each with the space before it; the end is stripped."""
    words: list[str] = []
    space = ""
    for part in text.split(" "):
        if part:
            words.append(space + part)
            space = " "
        elif not words:
            space = " "
    return words


def word_count(text: str) -> float:
    """Count the words; letters of scripts without spaces count as parts of words."""
    wide = sum(unicodedata.east_asian_width(letter) == "W" for letter in text)
    return wide * WORDS_OF_A_WIDE_LETTER if wide > len(text) / 2 else len(split_words(text))


def plain_word(word: str) -> str:
    """Reduce a word to its letters and digits, case folded, for comparisons."""
    return "".join(filter(str.isalnum, word.casefold()))


def quoted(text: str) -> str:
    """Put `text` between quotes, for messages; what cannot be printed is shown as "�"."""
    return f"'{printable(text)}'"


def printable(text: str) -> str:
    """Replace line breaks, control characters and halves of surrogate pairs by "�"."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
