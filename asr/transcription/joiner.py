"""Join the results of windows into segments; overlapping windows meet at words that both have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from asr.engines.engine import WindowResult
from asr.text import plain_word
from asr.transcript import Segment, TokenLogprob, Word, between


def join(results: Sequence[WindowResult]) -> list[Segment]:
    """The segments of all windows, in order, at their places in the audio.

    Args:
        results: one for each window, in the order of the windows.
    """
    joiner = Joiner(math.inf)
    return [*(segment for result in results for segment in joiner.push(result)), *joiner.finish()]


class Joiner:
    """Joins windows one after the other; gives out what no later window can change.

    Args:
        overlap: most seconds that a window shares with the one before.
        awaits_words: whether `push` gives segments out again that were given out early.
    """

    def __init__(self, overlap: float, awaits_words: bool = False) -> None:
        self._overlap = overlap
        self._awaits_words = awaits_words
        self._held: list[Segment] = []  # the next window may still part these
        self._given: list[Segment] = []  # of the window in hand, before its result

    def push_early(self, early: WindowResult) -> list[Segment]:
        """Take in segments that will stay in the next window's result; those that are new.

        None of them is final where the window after it may still part them.
        """
        if self._overlap:
            return []
        new = [shifted(segment, early.window.start) for segment in early.segments]
        _, new = _parted(new, self._given)
        self._given += new
        return new

    def push(self, result: WindowResult) -> list[Segment]:
        """Take in the next window's result; the segments that are now final, in order."""
        window, held = result.window, self._held
        placed = [shifted(segment, window.start) for segment in result.segments]
        given, placed = _parted(placed, self._given)
        self._given = []
        if self._awaits_words:
            placed = given + placed
        if window.overlap and held and placed:
            held, placed = splice(held, placed, window.start, window.start + window.overlap)
        held = held + placed
        shared_from = window.end - self._overlap
        final = 0
        while final < len(held) and (not self._overlap or held[final].end <= shared_from):
            final += 1
        self._held = held[final:]
        return held[:final]

    @property
    def held_starts(self) -> list[float]:
        """Where the segments begin that are held back, in seconds."""
        return [segment.start for segment in self._held]

    def finish(self) -> list[Segment]:
        """The segments that were held back: no window follows."""
        held, self._held = self._held, []
        return held


def shifted(segment: Segment, seconds: float) -> Segment:
    """`segment` of a window that begins at `seconds`, at its place in the audio."""
    words = tuple(
        replace(word, start=word.start + seconds, end=word.end + seconds) for word in segment.words
    )
    return replace(
        segment,
        start=segment.start + seconds,
        end=segment.end + seconds,
        words=words,
        window_start=seconds,
    )


def _parted(segments: list[Segment], given: list[Segment]) -> tuple[list[Segment], list[Segment]]:
    """Part a window's segments into those that are `given` out, and those that follow.

    A window that had to be decoded anew may have others: what is given out stays nevertheless.
    """
    count = len(given)
    if [segment.text for segment in segments[:count]] == [segment.text for segment in given]:
        return segments[:count], segments[count:]
    return given, [segment for segment in segments if segment.start >= given[-1].end]


def splice(
    before: list[Segment], after: list[Segment], start: float, end: float
) -> tuple[list[Segment], list[Segment]]:
    """Part two windows' segments where both have the same words between `start` and `end`.

    The words shared by the tail of `before` and the head of `after` are found as the longest
    run of equal words; the seam lies in its middle. Without one it lies midway in time.
    """
    tail = [word for s in before if s.end > start for word in s.timed_words if word.end > start]
    head = [word for s in after if s.start < end for word in s.timed_words if word.start < end]
    if not tail or not head:
        return before, after  # only one of them has words there
    match = SequenceMatcher(
        None, [plain_word(w.text) for w in tail], [plain_word(w.text) for w in head], autojunk=False
    ).find_longest_match()
    if match.size == 0:
        seam = (start + end) / 2
        kept = sum(_middle(word) < seam for word in tail)
        dropped = sum(_middle(word) < seam for word in head)
    else:
        kept = match.a + match.size // 2
        dropped = match.b + match.size // 2
    return _meet(_without_last(before, len(tail) - kept), _without_first(after, dropped))


def _meet(before: list[Segment], after: list[Segment]) -> tuple[list[Segment], list[Segment]]:
    """Let the segments at the seam follow each other in time."""
    if before and after and after[0].start < before[-1].end:
        last, first = before[-1], after[0]
        seam = max(last.start, first.start)
        before = [*before[:-1], replace(last, end=seam)]
        after = [replace(first, start=seam, end=max(seam, first.end)), *after[1:]]
    return before, after


def _middle(word: Word) -> float:
    return (word.start + word.end) / 2


def _without_last(segments: list[Segment], count: int) -> list[Segment]:
    kept = list(segments)
    while count and kept:
        words = kept[-1].timed_words
        if len(words) <= count:
            count -= len(words)
            kept.pop()
            continue
        kept[-1] = _rebuilt(kept[-1], words[:-count])
        break
    return kept


def _without_first(segments: list[Segment], count: int) -> list[Segment]:
    kept = list(segments)
    while count and kept:
        words = kept[0].timed_words
        if len(words) <= count:
            count -= len(words)
            kept.pop(0)
            continue
        kept[0] = _rebuilt(kept[0], words[count:])
        break
    return kept


def _rebuilt(segment: Segment, words: tuple[Word, ...]) -> Segment:
    """`segment` with its first or its last words alone."""
    text = "".join(word.text for word in words)
    return replace(
        segment,
        start=words[0].start,
        end=words[-1].end,
        text=text,
        words=words if segment.words else (),
        tokens=(),  # theirs is another text
        token_logprobs=_token_logprobs(segment, text),
    )


def _token_logprobs(segment: Segment, text: str) -> tuple[TokenLogprob, ...]:
    """Those of `text`, which begins or ends the segment."""
    whole, kept = b"".join(token.data for token in segment.token_logprobs), text.encode()
    start = whole.rfind(kept) if segment.text.endswith(text) else whole.find(kept)
    return tuple(between(segment.token_logprobs, start, start + len(kept))) if start >= 0 else ()
