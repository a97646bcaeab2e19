"""Which of the speech is in the text: what is heard again, what is thrown away, what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import groupby, pairwise

from asr.engines.engine import Window, WindowResult
from asr.metrics import Metrics
from asr.pcm import SAMPLE_RATE
from asr.text import plain_word, split_words, word_count
from asr.transcript import Coverage, Gap, Segment
from asr.transcription.cutter import quietest, shifted
from asr.vad.detector import LONGEST_PAUSE, Span, SpeechTrack

SHORTEST_GAP = 1.0  # seconds of speech without text that are heard again, and reported
SHORTEST_LAST = 0.5  # likewise, behind the last text of a window that has any
SHORTEST_OPENED = 0.2  # likewise, where the model says itself that a segment begins
INACCURACY = LONGEST_PAUSE + 0.2  # by which texts beside a pause may miss their span: no gap
BEFORE_GAP = 0.3  # seconds heard ahead of a gap, where nothing else is asked
HEARD_AGAIN = 2  # windows at most, of a window with gaps
LONGEST_AGAIN = 0.5  # of the window: what is longer is heard in two parts, not the same way
ASTRAY = 1.0  # seconds between a text and the speech it may belong to
MOST_WORDS = 10.0  # per second: the fastest speakers in the record books say 10 to 11, for a minute


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


class SpeechCoverage:
    """Accounts for the speech of one recording, window by window, in order.

    Args:
        hearing: what a detector makes of the recording; None where none listens.
        overlap: seconds that neighbouring windows share; gaps there are for both to fill.
        padding: seconds heard ahead of a gap, where nothing is written of them.
    """

    def __init__(
        self,
        hearing: SpeechTrack | None,
        overlap: float,
        metrics: Metrics,
        padding: float = BEFORE_GAP,
    ) -> None:
        self.hearing = hearing
        self._padding = padding
        self._overlap = overlap
        self._metrics = metrics
        self._speech: list[Span] = []
        self._texts: list[Span] = []
        self._reasons: list[Gap] = []

    def is_silent(self, window: Window) -> bool:
        """Whether surely nobody speaks in `window`."""
        if window.is_silent:
            return True
        return self.hearing is not None and not self.hearing.is_possible(window.start, window.end)

    def trusted(self, result: WindowResult) -> WindowResult:
        """`result` without the segments that no one can have said."""
        if self.hearing is None:
            return result
        kept = []
        reason = result.rejected
        for segment in result.segments:
            why = self._invented(segment, result.window.start)
            if why is None:
                kept.append(segment)
            else:
                self._metrics.texts_rejected.labels(why).inc()
                reason = reason or why
        if result.rejected is not None:
            self._metrics.texts_rejected.labels(result.rejected).inc()
        return replace(result, segments=tuple(kept), rejected=reason)

    def again(self, result: WindowResult) -> list[Window]:
        """Parts of the window that are to be heard again, in order: speech that has no text."""
        if self.hearing is None:
            return []
        window = result.window
        start = window.overlap
        end = window.seconds - self._overlap
        speech = [
            Span(span.start - window.start, span.end - window.start)
            for span in self.hearing.spans(window.start + start, window.start + end)
        ]
        texts = [Span(s.start, s.end) for s in result.segments if s.text.strip()]
        gaps = missed(speech, texts, start, end, result.opened)
        parts: list[Window] = []
        for gap in sorted(gaps, key=_urgency)[:HEARD_AGAIN]:
            cut = list(_cut_again(window, gap, result.language, self._padding))
            if len(parts) + len(cut) <= HEARD_AGAIN:
                parts += cut
        self._metrics.gaps_heard_again.inc(len(parts))
        return sorted(parts, key=lambda part: part.start)

    def heard(self, result: WindowResult) -> None:
        """Note the speech of a finished window, and why text of it was thrown away."""
        if self.hearing is None:
            return
        window = result.window
        self._speech += self.hearing.spans(window.start + window.overlap, window.end)
        if result.rejected is not None:
            self._reasons.append(Gap(window.start, window.end, result.rejected))

    def written(self, segments: Iterable[Segment]) -> None:
        """Note the segments that are given out, at their places in the recording."""
        if self.hearing is not None:
            self._texts += [Span(s.start, s.end) for s in segments if s.text.strip()]

    def coverage(self) -> Coverage | None:
        """Of all that was noted; None where no detector listens."""
        if self.hearing is None:
            return None
        pieces = [
            piece for piece in uncovered(self._speech, self._texts) if piece.seconds > INACCURACY
        ]
        speech = sum(span.seconds for span in self._speech)
        lost = sum(piece.seconds for piece in pieces)
        gaps = tuple(
            Gap(round(piece.start, 3), round(piece.end, 3), self._reason(piece))
            for piece in pieces
            if piece.seconds >= SHORTEST_GAP
        )
        return Coverage(round(speech, 3), round(speech - lost, 3), gaps)

    def _reason(self, piece: Span) -> str:
        middle = (piece.start + piece.end) / 2
        reasons = (gap.reason for gap in self._reasons if gap.start <= middle < gap.end)
        return next(reasons, "no text")

    def _invented(self, segment: Segment, offset: float) -> str | None:
        """Why nobody can have said this; None where somebody can. `offset`: of its times."""
        assert self.hearing is not None
        start, end = segment.start + offset, segment.end + offset
        if not self.hearing.is_possible(start - ASTRAY, end + ASTRAY):
            return "no speech"
        words = word_count(segment.text)
        if words <= MOST_WORDS * ASTRAY:
            return None
        spoken = sum(span.seconds for span in self.hearing.spans(start, end))
        return "density" if words > MOST_WORDS * (spoken + ASTRAY) else None


def missed(
    speech: Sequence[Span],
    texts: Sequence[Span],
    start: float,
    end: float,
    opened: float | None = None,
) -> Iterator[Missed]:
    """Speech without text between `start` and `end` that is to be heard again, and its room.

    Args:
        opened: where the model says that a segment begins which it has not written.
    """
    last = max((text.end for text in texts), default=end)
    found: list[Missed] = []
    for piece in uncovered(speech, texts):
        is_opened = opened is not None and piece.end > opened
        shortest = SHORTEST_LAST if piece.start >= last else SHORTEST_GAP
        if piece.seconds >= (SHORTEST_OPENED if is_opened else shortest):
            before = max((text.end for text in texts if text.start <= piece.start), default=start)
            after = min((text.start for text in texts if text.start >= piece.end), default=end)
            found.append(Missed(piece, Span(max(before, start), min(after, end)), is_opened))
    for _, alike in groupby(found, key=lambda gap: gap.room):
        yield reduce(Missed.__add__, alike)


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


def spliced(result: WindowResult, found: WindowResult) -> WindowResult:
    """`result` with what was heard in a part of its window, at its place in time."""
    offset = found.window.start - result.window.start
    end = offset + found.window.seconds
    place = sum(segment.start <= offset for segment in result.segments)
    before, after = result.segments[:place], result.segments[place:]
    added = tuple(
        replace(segment, end=min(segment.end, end))
        for segment in (shifted(each, offset) for each in found.segments)
        if segment.text.strip() and segment.start < end
    )
    text = "".join(segment.text for segment in added)
    if (before and _is_within(text, before[-1].text, at_end=True)) or (
        after and _is_within(text, after[0].text, at_end=False)
    ):
        return result
    reason = result.rejected or found.rejected
    return replace(result, segments=(*before, *added, *after), rejected=reason)


def _urgency(gap: Missed) -> tuple[bool, float]:
    """Sorts first what is to be heard again first."""
    return not gap.is_opened, -gap.speech.seconds


def _cut_again(
    window: Window, gap: Missed, language: str | None, padding: float
) -> Iterator[Window]:
    start = max(gap.room.start, gap.speech.start - padding)
    first, last = round(start * SAMPLE_RATE), round(gap.room.end * SAMPLE_RATE)
    options = replace(window.options, language=window.options.language or language)
    samples = window.samples[first:last]
    cuts = [0, len(samples)]
    if len(samples) > LONGEST_AGAIN * len(window.samples):
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
