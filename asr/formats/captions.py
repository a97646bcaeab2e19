"""Splits timed text into readable cues: few short lines, one cue at a time."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from asr.transcript import Segment, Word

SHORTEST_CUE = 500  # A cue lasts at least so many milliseconds, unless the next one begins.


@dataclass(frozen=True)
class Layout:
    """The limits of a cue's text."""

    line_width: int = 42  # characters
    line_count: int = 2  # lines


@dataclass(frozen=True)
class Cue:
    """A subtitle: lines that are shown from one time to another."""

    start: int  # milliseconds
    end: int  # milliseconds
    lines: tuple[str, ...]
    speaker: str | None = None  # label, name or channel, where it is known


class Captioner:
    """Turns segments into cues that never overlap, are never empty and come in order.

    Args:
        names_speakers: whether the text of each cue begins with its speaker, as "SPEAKER_00: ",
            or with its channel, as "Channel 0: ".
    """

    def __init__(self, layout: Layout, names_speakers: bool = False) -> None:
        self._layout = layout
        self._names_speakers = names_speakers
        self.held: Cue | None = None  # its end depends on where the next cue starts

    def push(self, segment: Segment) -> list[Cue]:
        """Take the next segment; return the cues that are now final."""
        final = []
        for cue in cues(segment, self._layout, self._names_speakers):
            if self.held is not None:
                closed = _closed(self.held, cue.start)
                cue = replace(cue, start=max(cue.start, closed.end))
                final.append(closed)
            self.held = cue
        return final

    def close(self, before: int) -> list[Cue]:
        """Return the cue that was held back, if it ends before any later one may begin.

        Args:
            before: milliseconds; no segment that follows starts earlier.
        """
        if self.held is None or max(self.held.end, self.held.start + SHORTEST_CUE) > before:
            return []
        return self.finish()

    def finish(self) -> list[Cue]:
        """Return the cue that was held back: no segment follows."""
        held, self.held = self.held, None
        return [_closed(held, None)] if held is not None else []


def _closed(cue: Cue, following: int | None) -> Cue:
    """Set the end of `cue`: long enough to read, and before the `following` one."""
    if following is not None and following <= cue.start:
        return replace(cue, end=cue.start + SHORTEST_CUE)
    end = max(cue.end, cue.start + SHORTEST_CUE)
    return replace(cue, end=end if following is None else min(end, following))


def cues(segment: Segment, layout: Layout, names_speakers: bool = False) -> list[Cue]:
    """Split one segment's text into as many cues as it needs, between words.

    A speaker who is named takes room from the first line of each cue; a name that leaves less
    than half of it has a line of its own.
    """
    speaker = None if segment.voice is None else " ".join(segment.voice.split())
    prefix = f"{speaker}: " if speaker is not None and names_speakers else ""
    width, count = layout.line_width, layout.line_count
    has_own_line = 2 * len(prefix) > width
    indent = 0 if has_own_line else len(prefix)
    words = [part for word in words_of(segment) for part in _broken(word, width - indent)]
    if has_own_line:
        count = max(1, count - 1)
    split = []
    for held in _groups(words, width, count, indent) if prefix else _chunks(words, width, count):
        texts = ["".join(word.text for word in line).strip() for line in held]
        texts = [prefix.strip(), *texts] if has_own_line else [prefix + texts[0], *texts[1:]]
        start, end = held[0][0].start, held[-1][-1].end
        split.append(Cue(round(start * 1000), round(end * 1000), tuple(texts), speaker))
    return split


def _chunks(words: Sequence[Word], width: int, count: int) -> Iterator[list[list[Word]]]:
    """Yield the lines of each cue, `count` at most, all of similar length."""
    lines = _lines(words, width)
    for first in range(0, len(lines), count):
        yield lines[first : first + count]


def _groups(
    words: Sequence[Word], width: int, count: int, indent: int
) -> Iterator[list[list[Word]]]:
    """Yield the lines of each cue, the first of which is shorter by `indent`."""
    place = 0
    while place < len(words):
        lines = _lines(words[place : place + width * count], width, indent)[:count]
        yield lines
        place += sum(map(len, lines))


def words_of(segment: Segment) -> Iterator[Word]:
    """Yield the segment's words with single spaces; untimed ones get even times.

    Words that joined are not the text are ignored, so that every format says the same.
    """
    if "".join(word.text for word in segment.words).split() != segment.text.split():
        segment = replace(segment, text=" ".join(segment.text.split()), words=())
    space = ""
    for word in segment.timed_words:
        text = " ".join(word.text.split())
        if word.text[:1].isspace():
            space = " "
        if text:
            yield replace(word, text=space + text)
            space = " " if word.text[-1].isspace() else ""


def _broken(word: Word, width: int) -> Iterator[Word]:
    """Cut a word into parts of at most `width` letters, for scripts without spaces."""
    text = word.text.strip()
    if len(text) <= width:
        yield word
        return
    letter_seconds = (word.end - word.start) / len(text)
    space, place = word.text[: -len(text)], 0
    while place < len(text):
        end = place + _break(text[place:], width)
        start = word.start + place * letter_seconds
        yield Word(space + text[place:end], start, word.start + end * letter_seconds)
        space, place = "", end


def _break(text: str, width: int) -> int:
    """Choose where a line of `text` ends: after punctuation if possible, never before a mark."""
    if len(text) <= width:
        return len(text)
    for end in range(width, width // 2, -1):
        if _category(text[end - 1]) == "P" and _category(text[end]) != "P":
            return end
    end = width
    while end > 1 and _category(text[end]) == "M":
        end -= 1
    return end


def _category(letter: str) -> str:
    return unicodedata.category(letter)[0]


def _lines(words: Sequence[Word], width: int, indent: int = 0) -> list[list[Word]]:
    """Fill as few lines as `width` allows, of lengths as even as possible."""
    fewest = len(_filled(words, width, indent))
    narrower = range(1, width)
    even = bisect_left(narrower, True, key=lambda w: len(_filled(words, w, indent)) <= fewest)
    return _filled(words, even + 1, indent)


def _filled(words: Sequence[Word], width: int, indent: int) -> list[list[Word]]:
    """Fill lines one after the other, the first behind `indent`; a wider word has its own line."""
    lines: list[list[Word]] = []
    used = indent
    for word in words:
        if lines and used + len(word.text) <= width:
            lines[-1].append(word)
            used += len(word.text)
        else:
            used = len(word.text.lstrip()) + (0 if lines else indent)
            lines.append([word])
    return lines
