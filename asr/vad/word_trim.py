"""Segments and words begin and end with speech: pauses are taken off their times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from asr.text import word_count
from asr.transcript import Segment, Word
from asr.vad.detector import Span, SpeechTrack

SHORTEST_PAUSE = 0.12  # A shorter pause, in seconds, is part of a word: a stopped consonant.
SHORTEST_VOICE = 0.15  # A shorter sound between pauses, in seconds, is no word: a breath, a click.
LONGEST_REST = 0.5  # Up to so many seconds of a neighbour's speech may lie within a segment.
REACH = 0.1  # A segment moves outwards, over speech, by at most so many seconds.
WORD_REACH = 0.3  # The same of a word, whose neighbours are known.
PAUSE_IS_BEFORE = 2.0  # Speech after a pause in a word counts so many times: pauses come before.
SHORTEST = 0.05  # No time is cut to fewer seconds.
MOST_WORDS_PER_SECOND = 10.0  # A segment that would have more words per second keeps its times.
TICK = 0.02  # A word that lies wholly in a pause beside its segment's speech gets so many seconds.
MARGIN = 0.5  # Speech is looked at in so many seconds around a segment.


class TimeTrimmer:
    """Trims the segments of one recording, in order.

    Each segment depends on the audio and on the segments before it alone: the times are the same
    however early it is given out.

    Args:
        track: the detector's result for the recording; None where VAD is off.
    """

    def __init__(self, track: SpeechTrack | None) -> None:
        self._track = track
        self._end = 0.0  # of the last segment

    def trim(self, segments: Iterable[Segment]) -> tuple[Segment, ...]:
        """The next segments, with the times of their speech alone."""
        if self._track is None:
            return tuple(segments)
        return tuple(self._next(segment, self._track) for segment in segments)

    def _next(self, segment: Segment, track: SpeechTrack) -> Segment:
        voiced = track.voiced(max(0.0, segment.start - MARGIN), segment.end + MARGIN)
        trimmed = trimmed_segment(segment, voiced, self._end)
        self._end = trimmed.end
        return trimmed


def trimmed_segment(segment: Segment, voiced: Sequence[Span], earliest: float) -> Segment:
    """`segment` and its words without the pauses at their ends.

    Args:
        voiced: where a voice is heard around the segment, in order.
        earliest: where the segment before ends; this one begins there at the earliest.
    """
    voices = _joined(voiced)
    start = max(segment.start, earliest)
    whole = Span(start, max(segment.end, start + SHORTEST))
    room = Span(max(earliest, start - REACH), whole.end + REACH)
    [moved] = _outward([_voiced_segment(whole, voices)], voices, room, REACH)
    if word_count(segment.text) > MOST_WORDS_PER_SECOND * moved.seconds:
        moved = whole
    words = _trimmed_words(segment.words, voices, moved)
    return replace(segment, start=round(moved.start, 3), end=round(moved.end, 3), words=words)


def _trimmed_words(words: Sequence[Word], voices: Sequence[Span], room: Span) -> tuple[Word, ...]:
    inward = [_voiced_word(Span(word.start, word.end), voices) for word in words]
    times = _fitted(_outward(_fitted(inward, room), voices, room, WORD_REACH), room)
    return tuple(
        replace(word, start=round(time.start, 3), end=round(time.end, 3))
        for word, time in zip(words, times, strict=True)
    )


def _joined(voiced: Iterable[Span]) -> list[Span]:
    """Spans of voice, joined over pauses that are too short to count."""
    joined: list[Span] = []
    for span in voiced:
        if joined and span.start - joined[-1].end < SHORTEST_PAUSE:
            span = Span(joined.pop().start, span.end)
        joined.append(span)
    return [span for span in joined if span.seconds >= SHORTEST_VOICE]


def _voiced_segment(time: Span, voices: Sequence[Span]) -> Span:
    """`time` without the pauses at its ends, and without what neighbours say beyond them."""
    within = [voice for voice in voices if voice.start < time.end and voice.end > time.start]
    if len(within) > 1 and _is_rest(time.start - within[0].start, within[0].end - time.start):
        del within[0]
    if len(within) > 1 and _is_rest(within[-1].end - time.end, time.end - within[-1].start):
        del within[-1]
    return _cut(time, within)


def _is_rest(outside: float, inside: float) -> bool:
    """Whether a voice, by its seconds outside and inside a segment, is a neighbour's."""
    return outside > REACH and inside <= LONGEST_REST


def _voiced_word(time: Span, voices: Sequence[Span]) -> Span:
    """The part of `time` on one side of a pause, usually behind it: none is inside a word."""
    within = [voice for voice in voices if voice.start < time.end and voice.end > time.start]
    if len(within) < 2:
        return _cut(time, within)
    *before, last = within
    chosen = max(before, key=lambda voice: _overlap(time, voice))
    if PAUSE_IS_BEFORE * _overlap(time, last) >= _overlap(time, chosen):
        chosen = last
    return _cut(time, [chosen])


def _overlap(time: Span, voice: Span) -> float:
    return min(time.end, voice.end) - max(time.start, voice.start)


def _cut(time: Span, voices: Sequence[Span]) -> Span:
    """`time` from the first to the last of `voices`; all of it if little or nothing is left."""
    if not voices:
        return time
    cut = Span(max(time.start, voices[0].start), min(time.end, voices[-1].end))
    return cut if cut.seconds >= SHORTEST else time


def _outward(times: Sequence[Span], voices: Sequence[Span], room: Span, reach: float) -> list[Span]:
    """`times`, longer where a voice goes on at their ends and nobody else's time begins."""
    longer: list[Span] = []
    before = room.start
    for number, time in enumerate(times):
        after = times[number + 1].start if number + 1 < len(times) else room.end
        start, end = time.start, time.end
        for voice in voices:
            if voice.start < end < voice.end:
                end = max(end, min(voice.end, after, end + reach))
            if voice.start < start < voice.end:
                start = min(start, max(voice.start, before, start - reach))
        before = end
        longer.append(Span(start, end))
    return longer


def _fitted(times: Sequence[Span], room: Span) -> list[Span]:
    """`times` within `room`, in order, each of some length."""
    tick = min(TICK, room.seconds / max(1, len(times)))
    fitted: list[Span] = []
    end = room.start
    for number, time in enumerate(times):
        latest = room.end - tick * (len(times) - number)  # the others need room, too
        start = min(max(time.start, end), latest)
        end = min(max(time.end, start + tick), latest + tick)
        fitted.append(Span(start, end))
    return fitted
