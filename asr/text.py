"""Words of a text: split and measured."""

from __future__ import annotations

import zlib


def compression_ratio(text: str) -> float:
    """How far zlib shortens `text`, as openai/whisper measures repetition; 1 for no text."""
    data = text.encode()
    return round(len(data) / len(zlib.compress(data)), 4) if data else 1.0


def split_words(text: str) -> list[str]:
    """Words, each with a space before it where `text` has one; the end is stripped."""
    words: list[str] = []
    space = ""
    for part in text.split(" "):
        if part:
            words.append(space + part)
            space = " "
        elif not words:
            space = " "
    return words
