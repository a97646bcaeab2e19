"""The share of a recording's speech that has text, and text that nobody can have said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from asr.audio.damage import Damage
from asr.engines.engine import Window, WindowResult
from asr.metrics import Metrics
from asr.text import word_count
from asr.transcript import Coverage, Gap, Segment
from asr.transcription.gaps import (
    PADDING,
    SHORTEST_GAP,
    first_gap,
    redecode_windows,
    uncovered,
)
from asr.vad.detector import FRAME_SECONDS, LONGEST_PAUSE, Span, SpeechTrack
from asr.vocabulary import is_nothing_but

INACCURACY = LONGEST_PAUSE + 0.2  # Uncovered speech shorter than this many seconds is no gap.
MAX_DISTANCE = 1.0  # A text farther than this many seconds from any speech counts as invented.
# A window's text is judged with so many seconds after it. To compare channels a hop is enough.
LOOKAHEAD = MAX_DISTANCE + FRAME_SECONDS
VOICE_DISTANCE = 0.3  # A doubted text is kept for a voice within this many seconds of it.
VOICE_CERTAINTY = 0.85  # It is kept if a quarter second there is this probably a voice.
MAX_WORDS_PER_SECOND = 10.0  # More words than the fastest speakers say in a minute are invented.


class SpeechCoverage:
    """Compares the speech and the text of one recording, window by window, in order.

    Args:
        track: the detector's result for the recording; None where VAD is off.
        overlap: seconds that neighbouring windows share; a gap there is left to the later one.
        padding: seconds before a gap that are decoded again with it, if they have no text.
    """

    def __init__(
        self,
        track: SpeechTrack | None,
        overlap: float,
        metrics: Metrics,
        padding: float = PADDING,
    ) -> None:
        self.track = track
        self.damage = Damage()  # of the recording; its decoder tells of it
        self._padding = padding
        self._overlap = overlap
        self._metrics = metrics
        self._speech: list[Span] = []
        self._texts: list[Span] = []
        self._reasons: list[Gap] = []

    def is_silent(self, window: Window) -> bool:
        """Whether it is certain that nobody speaks in `window`."""
        if window.is_silent:
            return True
        return self.track is not None and not self.track.is_possible(window.start, window.end)

    def without_invented(self, result: WindowResult) -> WindowResult:
        """`result` without the segments that nobody can have said."""
        kept = []
        reason = result.rejected
        for segment in result.segments:
            why = self._invented(segment, result.window)
            if why is None:
                kept.append(segment)
            else:
                self._metrics.texts_rejected.labels(why).inc()
                reason = reason or why
        if result.rejected is not None:
            self._metrics.texts_rejected.labels(result.rejected).inc()
        return replace(result, segments=tuple(kept), rejected=reason)

    def lasting(self, early: WindowResult) -> WindowResult:
        """`early`, whose window is still decoded, with the segments alone that stay in the text.

        None of them is invented, and no gap lies before them that will be decoded again.
        """
        if self.track is None:
            return early
        said = [s for s in early.segments if self._invented(s, early.window) is None]
        gap = first_gap(self._spoken(early.window), said)
        return replace(early, segments=tuple(s for s in said if s.end <= gap))

    def windows_to_redecode(self, result: WindowResult) -> list[Window]:
        """Parts of the window with speech that has no text, to be decoded again, in order."""
        if self.track is None:
            return []
        end = result.window.seconds - self._overlap
        parts = redecode_windows(result, self._spoken(result.window), end, self._padding)
        self._metrics.gaps_redecoded.inc(len(parts))
        return parts

    def record_result(self, result: WindowResult) -> None:
        """Add the speech of a finished window, and the reason why its text was dropped."""
        if self.track is None:
            return
        window = result.window
        self._speech += self.track.spans(window.start + window.overlap, window.end)
        if result.rejected is not None:
            self._reasons.append(Gap(window.start, window.end, result.rejected))

    def record_text(self, segments: Iterable[Segment]) -> None:
        """Add segments of the transcript, with times from the start of the recording."""
        if self.track is not None:
            self._texts += [Span(s.start, s.end) for s in segments if s.text.strip()]

    def coverage(self) -> Coverage | None:
        """The coverage of everything recorded so far; None where VAD is off.

        What could not be decoded counts as speech without text.
        """
        if self.track is None:
            return None
        missing = [
            span for span in uncovered(self._speech, self._texts) if span.seconds > INACCURACY
        ]
        undecoded = self.damage.missing
        speech = sum(span.seconds for span in self._speech) + undecoded
        lost = sum(span.seconds for span in missing) + undecoded
        gaps = tuple(
            Gap(round(span.start, 3), round(span.end, 3), self._reason(span))
            for span in missing
            if span.seconds >= SHORTEST_GAP
        )
        if undecoded:
            start = round(self.damage.decoded, 3)
            gaps = (*gaps, Gap(start, round(start + undecoded, 3), "damaged audio"))
        return Coverage(round(speech, 3), round(speech - lost, 3), gaps)

    def _spoken(self, window: Window) -> list[Span]:
        """The speech of the window that no later one has, in seconds from its start."""
        assert self.track is not None
        first, last = window.start + window.overlap, window.end - self._overlap
        return [
            Span(span.start - window.start, span.end - window.start)
            for span in self.track.spans(first, last)
        ]

    def _reason(self, span: Span) -> str:
        middle = (span.start + span.end) / 2
        reasons = (gap.reason for gap in self._reasons if gap.start <= middle < gap.end)
        return next(reasons, "no text")

    def _invented(self, segment: Segment, window: Window) -> str | None:
        """The reason why nobody can have said this; None where somebody can."""
        if segment.text.strip() and not any(map(str.isalnum, segment.text)):
            return "no words"
        start, end = segment.start + window.start, segment.end + window.start
        doubt = segment.doubt
        if doubt is None and is_nothing_but(segment.text, window.options.vocabulary):
            doubt = "vocabulary"
        if doubt is not None and not self._has_voice(doubt, start, end):
            return doubt
        if self.track is None:
            return None
        if not self.track.is_possible(start - MAX_DISTANCE, end + MAX_DISTANCE):
            return "no speech"
        words = word_count(segment.text)
        if words <= MAX_WORDS_PER_SECOND * MAX_DISTANCE:
            return None
        spoken = sum(span.seconds for span in self.track.spans(start, end))
        return "density" if words > MAX_WORDS_PER_SECOND * (spoken + MAX_DISTANCE) else None

    def _has_voice(self, doubt: str, start: float, end: float) -> bool:
        """Whether a doubted text between two times is kept, because a voice is certain there.

        Without a detector that knows voices it is kept, too, unless it is unlikely.
        """
        certainty = None
        if self.track is not None:
            certainty = self.track.certainty(start - VOICE_DISTANCE, end + VOICE_DISTANCE)
        return doubt != "unlikely" if certainty is None else certainty >= VOICE_CERTAINTY
