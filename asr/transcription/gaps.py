"""Speech without text in a window: found, decoded again, and put into the window's result."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import groupby, pairwise

from asr.engines.engine import Window, WindowResult
from asr.pcm import SAMPLE_RATE
from asr.text import plain_word, split_words
from asr.transcript import Segment
from asr.transcription.cutter import quietest
from asr.transcription.joiner import shifted
from asr.vad.detector import Span

SHORTEST_GAP = 1.0  # Speech without text of so many seconds is decoded again, and reported.
SHORTEST_LAST = 0.5  # The same, after the last text of a window.
SHORTEST_OPENED = 0.2  # The same, where the model itself says that a segment begins.
PADDING = 0.3  # A gap is decoded again with this many seconds before it, unless a caller asks more.
MAX_REDECODES = 2  # The gaps of one window are decoded again in at most this many windows.
LONGEST_WHOLE = 0.5  # A gap longer than this part of its window is decoded again in two parts.


@dataclass(frozen=True)
class Missed:
    """Speech without text, and the room between the segments around it."""

    speech: Span
    room: Span
    is_opened: bool = False  # the model says itself that a segment begins there

    def __add__(self, later: Missed) -> Missed:
        """Both at once, where only a pause is between them."""
        speech = Span(self.speech.start, later.speech.end)
        return Missed(speech, self.room, self.is_opened or later.is_opened)


def redecode_windows(
    result: WindowResult, speech: Sequence[Span], end: float, padding: float
) -> list[Window]:
    """The parts of a window that are to be decoded again, in order, at most two.

    Args:
        speech: of the window, in seconds from its start.
        end: seconds from its start until the next window begins.
        padding: seconds before a gap that belong to its part, if they have no text.
    """
    window = result.window
    texts = [Span(s.start, s.end) for s in result.segments if s.text.strip()]
    gaps = missed(speech, texts, window.overlap, end, result.opened)
    parts: list[Window] = []
    for gap in sorted(gaps, key=_urgency)[:MAX_REDECODES]:
        cut = list(_redecoded_parts(window, gap, result.language, padding))
        if len(parts) + len(cut) <= MAX_REDECODES:
            parts += cut
    return sorted(parts, key=lambda part: part.start)


def missed(
    speech: Sequence[Span],
    texts: Sequence[Span],
    start: float,
    end: float,
    opened: float | None = None,
) -> Iterator[Missed]:
    """Speech without text between `start` and `end` that is to be decoded again, and its room.

    Args:
        opened: where the model says that a segment begins which it has not written.
    """
    last = max((text.end for text in texts), default=end)
    gaps: list[Missed] = []
    for piece in uncovered(speech, texts):
        is_opened = opened is not None and piece.end > opened
        shortest = SHORTEST_LAST if piece.start >= last else SHORTEST_GAP
        if piece.seconds >= (SHORTEST_OPENED if is_opened else shortest):
            before = max((text.end for text in texts if text.start <= piece.start), default=start)
            after = min((text.start for text in texts if text.start >= piece.end), default=end)
            gaps.append(Missed(piece, Span(max(before, start), min(after, end)), is_opened))
    for _, alike in groupby(gaps, key=lambda gap: gap.room):
        yield reduce(Missed.__add__, alike)


def first_gap(speech: Sequence[Span], segments: Iterable[Segment]) -> float:
    """Where speech begins that has no text, lies before the last of `segments`, and is a gap.

    Infinity without such a gap. What follows the last segment may yet have text.
    """
    texts = [Span(each.start, each.end) for each in segments if each.text.strip()]
    last = max((text.start for text in texts), default=0.0)
    gaps = (
        piece.start
        for piece in uncovered(speech, texts)
        if piece.end <= last and piece.seconds >= SHORTEST_GAP
    )
    return next(gaps, math.inf)


def uncovered(speech: Iterable[Span], texts: Iterable[Span]) -> Iterator[Span]:
    """The parts of `speech` that lie under no text, in order as `speech` is."""
    covers = _merged(texts)
    place = 0
    for span in speech:
        at = span.start
        while place < len(covers) and covers[place].end <= span.start:
            place += 1
        for number in range(place, len(covers)):
            text = covers[number]
            if text.start >= span.end:
                break
            if text.start > at:
                yield Span(at, text.start)
            at = max(at, text.end)
        if at < span.end:
            yield Span(at, span.end)


def _merged(texts: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for text in sorted(texts, key=lambda text: text.start):
        if merged and text.start <= merged[-1].end:
            text = Span(merged[-1].start, max(merged.pop().end, text.end))
        merged.append(text)
    return merged


def spliced(result: WindowResult, part: WindowResult) -> WindowResult:
    """`result` with the segments of a part of its window that was decoded again."""
    offset = part.window.start - result.window.start
    end = offset + part.window.seconds
    place = sum(segment.start <= offset for segment in result.segments)
    before, after = result.segments[:place], result.segments[place:]
    added = tuple(
        replace(segment, end=min(segment.end, end))
        for segment in (shifted(each, offset) for each in part.segments)
        if segment.text.strip() and segment.start < end
    )
    text = "".join(segment.text for segment in added)
    if (before and _is_within(text, before[-1].text, at_end=True)) or (
        after and _is_within(text, after[0].text, at_end=False)
    ):
        return result
    reason = result.rejected or part.rejected
    return replace(result, segments=(*before, *added, *after), rejected=reason)


def _urgency(gap: Missed) -> tuple[bool, float]:
    """The sort key: the gap to decode again first is the smallest."""
    return not gap.is_opened, -gap.speech.seconds


def _redecoded_parts(
    window: Window, gap: Missed, language: str | None, padding: float
) -> Iterator[Window]:
    start = max(gap.room.start, gap.speech.start - padding)
    first, last = round(start * SAMPLE_RATE), round(gap.room.end * SAMPLE_RATE)
    options = replace(window.options, language=window.options.language or language)
    samples = window.samples[first:last]
    cuts = [0, len(samples)]
    if len(samples) > LONGEST_WHOLE * len(window.samples):
        third = len(samples) // 3
        cuts.insert(1, third + quietest(samples[third : 2 * third]))
    for begin, end in pairwise(cuts):
        place = window.start + (first + begin) / SAMPLE_RATE
        yield Window(samples[begin:end].copy(), place, options)


def _is_within(text: str, other: str, at_end: bool) -> bool:
    """Whether `other` ends, or begins, with the words of `text` and has more of them.

    A segment whose time ends too early leaves speech uncovered whose words it has.
    """
    words, longer = ([plain_word(word) for word in split_words(each)] for each in (text, other))
    if not words or len(words) >= len(longer):
        return False
    return words == (longer[-len(words) :] if at_end else longer[: len(words)])
