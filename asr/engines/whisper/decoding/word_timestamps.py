"""A segment's words: its tokens put together as openai/whisper does, each with its times."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import exp
from statistics import fmean, median
from string import punctuation

from asr.engines.whisper.model.alignment import Alignment, AlignmentInputs, Stretch, Times, align
from asr.transcript import Segment, Word

UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue"})  # languages that part no words
OPENING = frozenset("\"'“¿([{-")  # behind a space these belong to the word that follows
CLOSING = frozenset("\"'.。,，!！?？:：”)]}、")  # noqa: RUF001 - these belong to the word before
MARKS = frozenset(punctuation)  # these begin a word of their own
BELIEVED_MEDIAN = 0.7  # seconds at most, of a word
LONGEST_MEDIANS = 2  # that a word beside a pause may last


@dataclass(frozen=True)
class Spelling:
    """A word, and its tokens' places among those of its segment."""

    text: str
    places: range

    def __add__(self, other: Spelling) -> Spelling:
        return Spelling(self.text + other.text, range(self.places.start, other.places.stop))


def spellings(pieces: Sequence[bytes], language: str | None) -> list[Spelling]:
    """The words that tokens spell: joined, they are the text; none is blank unless all of it is.

    Args:
        pieces: the bytes of each token, UTF-8.
        language: code of what is written.
    """
    found: list[Spelling] = []
    lead: Spelling | None = None  # belongs to what follows
    for part in _letters(pieces):
        begins = language in UNSPACED or part.text.startswith(" ") or _is_of(part, MARKS)
        if _leads(part):
            lead = lead + part if lead else part
        elif lead:
            found.append(lead + part)
            lead = None
        elif found and (not begins or _is_of(part, CLOSING)):
            found[-1] += part
        else:
            found.append(part)
    if lead:
        found[-1:] = [found[-1] + lead] if found else [lead]
    return found


def _letters(pieces: Sequence[bytes]) -> Iterator[Spelling]:
    """The tokens, those together that share a letter."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text, first = "", 0
    for place, piece in enumerate(pieces):
        is_last = place == len(pieces) - 1
        text += decoder.decode(piece, is_last)
        if is_last or not decoder.getstate()[0]:
            yield Spelling(text, range(first, place + 1))
            text, first = "", place + 1


def _leads(part: Spelling) -> bool:
    return not part.text.strip() or (part.text.startswith(" ") and _is_of(part, OPENING))


def _is_of(part: Spelling, letters: frozenset[str]) -> bool:
    return letters.issuperset(part.text.strip())


@dataclass(frozen=True)
class Timing:
    """One window's segments, whose words are being timed."""

    segments: Sequence[Segment]  # with their pieces
    alignment: Alignment
    language: str | None  # code of what is written

    def finish(self) -> tuple[Segment, ...]:
        """The segments with their words, once the device has what they are timed by.

        The segments' own times stay what the model wrote, whether words are asked for or not;
        words lie within them.
        """
        timed = zip(self.segments, self.alignment.times(), strict=True)
        return _without_pauses([_timed(segment, its, self.language) for segment, its in timed])


def timing(
    segments: Sequence[Segment],
    tokens: Sequence[int],
    heard: AlignmentInputs,
    end_of_text: int,
    language: str | None,
) -> Timing:
    """Begin to time the words of one window's segments, one at least, which have their pieces.

    Args:
        tokens: all that was written of the window.
        language: code of what is written.
    """
    found = _places(segments, tokens, end_of_text)
    stretches = [
        Stretch(places, segment.start, segment.end)
        for segment, places in zip(segments, found, strict=True)
    ]
    return Timing(segments, align(heard, stretches), language)


def _places(
    segments: Sequence[Segment], tokens: Sequence[int], end_of_text: int
) -> Iterator[list[int]]:
    """Where the text of each segment stands in `tokens`."""
    first = 0
    for segment in segments:
        length = len(segment.tokens)
        first = next(
            place
            for place in range(first, len(tokens))
            if tuple(tokens[place : place + length]) == segment.tokens
        )
        yield [n for n in range(first, first + length) if tokens[n] < end_of_text]
        first += length


def _timed(segment: Segment, times: Times, language: str | None) -> Segment:
    """The segment with its words; should they not make up its text, they are left out.

    Args:
        times: when each of its pieces begins, and the last one ends.
    """
    chances = [exp(piece.logprob) for piece in segment.pieces]
    words = tuple(
        Word(
            spelling.text,
            round(float(times[spelling.places.start]), 3),
            round(float(times[spelling.places.stop]), 3),
            fmean(chances[spelling.places.start : spelling.places.stop]),
        )
        for spelling in spellings([piece.data for piece in segment.pieces], language)
    )
    is_whole = "".join(word.text for word in words) == segment.text
    return replace(segment, words=words if is_whole else ())


def _without_pauses(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """The segments, the first and last word of each no longer than its like.

    A segment may begin or end amid a pause, which the word there was given.
    """
    lengths = [word.end - word.start for segment in segments for word in segment.words]
    if not lengths:
        return tuple(segments)
    longest = LONGEST_MEDIANS * min(BELIEVED_MEDIAN, median(lengths))
    return tuple(_trimmed(segment, longest) for segment in segments)


def _trimmed(segment: Segment, longest: float) -> Segment:
    words = list(segment.words)
    if len(words) > 1:  # of an only word nothing tells on which side the pause is
        first, last = words[0], words[-1]
        words[0] = replace(first, start=round(max(first.start, first.end - longest), 3))
        words[-1] = replace(last, end=round(min(last.end, last.start + longest), 3))
    return replace(segment, words=tuple(words))
